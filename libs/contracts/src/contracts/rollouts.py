"""Bodies of model-registry's endpoints about progressive rollouts."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.model_versions import MODEL_VERSION
from contracts.text import TypedText

RolloutState = Literal["running", "holding", "completed", "rolled_back", "stopped"]
RolloutAction = Literal["continue", "wait", "stop"]
ALL_USERS = 100
MAX_STEPS = 20
MIN_EVERY_SECONDS, MAX_EVERY_SECONDS = 60.0, 7 * 86400.0
_Reason = Annotated[str, TypedText(1000)]
_Percent = Annotated[int, Field(strict=True, ge=1, le=ALL_USERS)]


class RolloutRequest(BaseModel):
    """Which version to roll out, in which steps."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"version": "12", "steps": [5, 25, 50, 100]}]}
    )

    version: Annotated[str, Field(pattern=MODEL_VERSION, description="A version of this model")]
    steps: Annotated[
        list[_Percent],
        Field(
            min_length=2,
            max_length=MAX_STEPS,
            description="Shares of the users in percent, increasing; the last one is 100, and makes it the primary",
        ),
    ]
    every_seconds: Annotated[
        float,
        Field(
            ge=MIN_EVERY_SECONDS,
            le=MAX_EVERY_SECONDS,
            description="How long a step takes at least (s)",
            examples=[1800],
        ),
    ] = 1800.0
    expected_active: Annotated[
        str | None,
        Field(pattern=MODEL_VERSION, description="The version that must be in service as primary; if it isn't, 409"),
    ] = None
    reason: Annotated[_Reason | None, Field(description="Why, for the history")] = None

    @model_validator(mode="after")
    def _steps_increase(self) -> Self:
        if self.steps != sorted(set(self.steps)):
            raise ValueError("steps: each step serves more users than the one before")
        if self.steps[-1] != ALL_USERS:
            raise ValueError("steps: the last one is 100")
        return self


class RolloutAnswer(BaseModel):
    """What a person decides about a rollout."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"action": "continue"}]})

    action: Annotated[
        RolloutAction,
        Field(
            description="`continue` takes the next step now, whatever the figures say; `wait` gives the step another "
            "waiting time; `stop` withdraws the canary"
        ),
    ]
    reason: Annotated[_Reason | None, Field(description="Why, for the history")] = None


class ArmRate(BaseModel):
    """Clicks per exposure of one side, with a 95 % Wilson interval; rate and bounds are null without exposures."""

    exposures: Annotated[int, Field(description="Datasets shown", examples=[4800])]
    clicks: Annotated[int, Field(description="Clicks on them", examples=[180])]
    rate: Annotated[float | None, Field(description="Clicks per exposure", examples=[0.0375])]
    low: Annotated[float | None, Field(description="Lower bound of its interval", examples=[0.0325])]
    high: Annotated[float | None, Field(description="Upper bound of its interval", examples=[0.0432])]


class RolloutStep(BaseModel):
    """What was measured in a step: a point of both curves."""

    percent: Annotated[int, Field(description="Share of the users that the canary served", examples=[25])]
    since: Annotated[datetime, Field(description="When the step began", examples=["2026-11-24T03:10:00Z"])]
    canary: Annotated[ArmRate, Field(description="The new version")]
    primary: Annotated[ArmRate, Field(description="The version in service")]


class RateDifference(BaseModel):
    """Canary minus primary in clicks per exposure, over all steps; the interval holds at every look (1 − alpha)."""

    estimate: Annotated[float, Field(description="Difference of the rates", examples=[-0.0004])]
    low: Annotated[float, Field(description="Lower end of the confidence sequence", examples=[-0.0031])]
    high: Annotated[float, Field(description="Upper end of the confidence sequence", examples=[0.0022])]


class RolloutRecord(BaseModel):
    """A rollout: where it is, and why."""

    rollout_id: Annotated[str, Field(description="Id of the rollout", examples=["3"])]
    version: Annotated[str, Field(description="Version that is rolled out", examples=["12"])]
    primary_version: Annotated[str, Field(description="Version beside it", examples=["11"])]
    state: Annotated[
        RolloutState,
        Field(
            description="`running`; `holding` until a person decides; `completed`: it is the primary; `rolled_back` by "
            "its figures; `stopped` by a person"
        ),
    ]
    steps: Annotated[list[int], Field(description="Shares of the users in percent", examples=[[5, 25, 50, 100]])]
    step: Annotated[int, Field(ge=0, description="Index of the present or last step", examples=[1])]
    every_seconds: Annotated[float, Field(description="How long a step takes at least (s)", examples=[1800.0])]
    reason: Annotated[str, Field(description="Why it is in this state, and what it waits for")]
    started_by: Annotated[str | None, Field(description="Who started it", examples=["ci@main"])]
    answered_by: Annotated[str | None, Field(description="Who decided last; null if nobody did", examples=["li.wei"])]
    created_at: Annotated[datetime, Field(description="When it was started", examples=["2026-11-24T03:10:00Z"])]
    step_since: Annotated[datetime, Field(description="When the step began", examples=["2026-11-24T03:40:00Z"])]
    reviewed_at: Annotated[datetime | None, Field(description="When its figures were last looked at; null: not yet")]
    ended_at: Annotated[datetime | None, Field(description="When it ended; null: it hasn't")]
    curves: Annotated[list[RolloutStep], Field(description="What was measured, step by step")]
    difference: Annotated[
        RateDifference | None, Field(description="Canary minus primary; null before there are enough figures")
    ]

    @model_validator(mode="after")
    def _step_is_one_of_the_steps(self) -> Self:
        if self.step >= len(self.steps):
            raise ValueError(f"step: {self.step} is not an index of {len(self.steps)} steps")
        return self

    @property
    def percent(self) -> int:
        """The share of the users that it serves, in percent."""
        return self.steps[self.step]


class RolloutList(BaseModel):
    """The latest rollouts of a model, newest first."""

    rollouts: Annotated[list[RolloutRecord], Field(description="At most 20, newest first")]
