"""Outcomes of exposures, as feature-sync reports them."""

import math
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

# The quantile of the normal distribution for 95 %.
_Z = 1.959964


class OutcomeRate(BaseModel):
    """How many exposures had an outcome of a type, and the Wilson interval (95 %) of that share.

    Share and bounds are null without exposures.
    """

    count: Annotated[int, Field(description="Exposures with such an outcome", examples=[180])]
    rate: Annotated[float | None, Field(description="Share of the exposures", examples=[0.0375])]
    low: Annotated[float | None, Field(description="Lower bound of its 95 % interval", examples=[0.0325])]
    high: Annotated[float | None, Field(description="Upper bound of its 95 % interval", examples=[0.0432])]


class OutcomeRates(BaseModel):
    """What came of exposures, each of one dataset in one answer to a user."""

    exposures: Annotated[int, Field(description="Datasets shown, each time they were", examples=[4800])]
    clicks: Annotated[OutcomeRate, Field(description="Clicks within 30 minutes")]
    favorites: Annotated[OutcomeRate, Field(description="Favourites within 7 days")]
    purchases: Annotated[OutcomeRate, Field(description="Purchases within 7 days")]


class PositionOutcomes(OutcomeRates):
    """Those at one position of the answers."""

    position: Annotated[int, Field(description="From 0; 20 stands for all from 20 on", examples=[0])]


class ModelOutcomes(OutcomeRates):
    """Those of a model at an endpoint. Empty texts stand for exposures whose sender has not named the model."""

    model_version: Annotated[str, Field(description="Version of the model", examples=["12"])]
    variant: Annotated[
        str,
        Field(description="`primary`, `canary`, or `control` for primary's side of an experiment", examples=["canary"]),
    ]
    endpoint: Annotated[str, Field(description="Endpoint that answered", examples=["/recommend/user"])]
    positions: Annotated[list[PositionOutcomes], Field(description="The same by position")]


class UnattributedOutcomes(BaseModel):
    """Numbers of events that belong to no exposure."""

    clicks: Annotated[int, Field(description="Clicks", examples=[3])]
    favorites: Annotated[int, Field(description="Favourites", examples=[0])]
    purchases: Annotated[int, Field(description="Purchases", examples=[1])]


class OutcomeReport(BaseModel):
    """The outcomes of the exposures of some hours."""

    since: Annotated[datetime, Field(description="Beginning of the first hour", examples=["2026-11-17T12:00:00Z"])]
    until: Annotated[datetime, Field(description="Exposures before it", examples=["2026-11-24T12:00:00Z"])]
    models: Annotated[list[ModelOutcomes], Field(description="By version, variant and endpoint")]
    unattributed: Annotated[UnattributedOutcomes, Field(description="What belongs to no exposure, of all models")]


def rate_of(count: int, exposures: int) -> OutcomeRate:
    """Return the rate of exposures with an outcome; `count` is at most `exposures`, unless there are none."""
    if not exposures:
        return OutcomeRate(count=count, rate=None, low=None, high=None)
    low, high = wilson_interval(count, exposures)
    return OutcomeRate(count=count, rate=count / exposures, low=low, high=high)


def wilson_interval(count: int, of: int) -> tuple[float, float]:
    """Return the bounds of the 95 % Wilson score interval of a share; `of` is above 0."""
    share, z2 = count / of, _Z**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)
