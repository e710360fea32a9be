"""One key of `pipeline.yaml` that `pipeline search` may change, and the values that it may take."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _finite(value: object) -> object:
    # Before Pydantic's own check, which has one message for whole numbers and one for others.
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, float) and not math.isfinite(value))
    ):
        raise ValueError("not a finite number")
    return value


_Bound = Annotated[int | float | None, BeforeValidator(_finite), Field(exclude_if=lambda bound: bound is None)]


class SearchedKey(BaseModel):
    """A key between two bounds, or one of some choices."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    key: str
    low: _Bound = None
    high: _Bound = None
    # Small values are tried as often as large ones.
    log: Annotated[bool, Field(exclude_if=lambda log: not log)] = False
    choices: Annotated[
        list[Any] | None, Field(min_length=2, max_length=20, exclude_if=lambda choices: choices is None)
    ] = None

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        if (self.choices is None) != (self.low is not None and self.high is not None):
            raise ValueError(f"{self.key}: write low and high, or choices")
        if self.choices is not None and (self.low is not None or self.high is not None or self.log):
            raise ValueError(f"{self.key}: low, high and log don't go with choices")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"{self.key}: low is not below high")
        if self.low is not None and self.low <= 0 and self.log:
            raise ValueError(f"{self.key}: log needs a low above 0")
        return self

    def extremes(self) -> Sequence[Any]:
        """Return the choices, or the bounds: if they are allowed, all values are."""
        return [self.low, self.high] if self.choices is None else self.choices


# What the upper bounds cost in serving is in docs/PIPELINE_CONFIG.md.
DEFAULT_SPACE = (
    SearchedKey(key="ranker.leaves", low=7, high=63),
    SearchedKey(key="ranker.learning_rate", low=0.02, high=0.2, log=True),
    SearchedKey(key="ranker.trees", low=50, high=300),
    SearchedKey(key="ranker.feature_fraction", low=0.2, high=1.0),
    SearchedKey(key="queries.negatives", low=10, high=60),
    SearchedKey(key="recall.channels.history", low=20, high=120),
    SearchedKey(key="recall.channels.transition", low=20, high=120),
    SearchedKey(key="recall.channels.popular_30d", low=20, high=150),
)
