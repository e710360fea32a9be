"""What the pipeline says to the notification gateway about a run: its report and the results of its data checks."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.data_checks import DataCheckSeverity
from contracts.text import LabelText

RunOutcome = Literal["succeeded", "failed"]
# The name of a run's folder: it is a part of a path, and of links.
RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
# The names of pages that are not about a training: of the day's last failed refresh, and of a week.
REFRESH_PAGE, WEEKLY_PAGE = "refresh-", "weekly-"
MAX_RUN_ID_CHARS = 256
MAX_CHECKS = 500
MAX_STEPS = 50


def is_about_training(run: str) -> bool:
    """Return whether the page of this name is about a training; only these count in the success rate."""
    return not run.startswith((REFRESH_PAGE, WEEKLY_PAGE))


class RunReport(BaseModel):
    """The report of one run of the pipeline. Its page is at `/reports/{run}`."""

    run: Annotated[str, Field(description="Name of the run", examples=["20261128T030000000000Z"])]
    run_id: Annotated[
        str | None,
        Field(
            description="The tag `run_id` of the run's alerts; null: it is the name",
            examples=["scheduled__2026-11-28T03:00:00+00:00"],
        ),
    ]
    outcome: Annotated[RunOutcome, Field(description="What became of the run")]
    posted_at: Annotated[
        datetime, Field(description="When the report was posted last", examples=["2026-11-28T03:21:09Z"])
    ]
    size_bytes: Annotated[int, Field(description="Size of the page", examples=[48210])]
    url: Annotated[
        str | None,
        Field(
            description="Address of the page for people; null: GATEWAY_PUBLIC_URL is empty",
            examples=["http://127.0.0.1:8003/reports/20261128T030000000000Z"],
        ),
    ] = None


class RunCheck(BaseModel):
    """The result of one data check of a run."""

    # The pipeline may be of another release: fields that this one doesn't know are ignored.
    model_config = ConfigDict(frozen=True)

    check: Annotated[
        str, LabelText(128, min_chars=1), Field(description="Name of the check", examples=["interactions.null_ts"])
    ]
    severity: Annotated[DataCheckSeverity, Field(description="ok: it passed")]
    value: Annotated[float, Field(allow_inf_nan=False, description="What was measured", examples=[0.004])]
    threshold: Annotated[float, Field(allow_inf_nan=False, description="What it is held against", examples=[0.01])]


class RunStep(BaseModel):
    """A step of a run that has ended."""

    model_config = ConfigDict(frozen=True)

    step: Annotated[str, LabelText(64, min_chars=1), Field(description="Name of the step", examples=["train"])]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False, description="How long it took", examples=[41.5])]


class RunChecks(BaseModel):
    """The results of a run's data checks, and the durations of its steps."""

    checks: Annotated[list[RunCheck], Field(max_length=MAX_CHECKS, description="One for each check")]
    steps: Annotated[
        list[RunStep], Field(max_length=MAX_STEPS, description="One for each step that has ended, in their order")
    ] = []
