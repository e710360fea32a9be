"""The bounds of the data checks, as `quality.yaml` has them."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.time_zones import TimeZoneName

Share = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bound(_Part):
    """A value above `warning` is reported, one above `critical` stops the run; None switches a bound off."""

    warning: Limit | None
    critical: Limit | None

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.warning is not None and self.critical is not None and self.critical < self.warning:
            raise ValueError(f"critical ({self.critical:g}) is below warning ({self.warning:g})")
        return self


class WarningBound(_Part):
    """A bound that never stops the run."""

    warning: Limit | None


class CalendarRules(_Part):
    """What a day is."""

    time_zone: TimeZoneName
    holidays: Literal["china", "none"]


class RowRules(_Part):
    """Shares of a table's rows; a single number is the one above which the run stops."""

    without_key: Share
    unusable: Share
    unknown_dataset: Share
    duplicate: Bound


class DatasetRules(_Part):
    """The checks of the datasets as a whole."""

    null_price: Bound
    constant_price: Bound
    outlier_price: Bound
    repeated_title: Bound
    repeated_description: Bound
    repeated_tags: Bound
    duplicate_content: Bound
    broken_text: Bound
    implausible_created_at: Bound


class UserRules(_Part):
    """The checks of the users as a whole."""

    implausible_created_at: Bound


class InteractionRules(_Part):
    """The checks of the interactions as a whole."""

    freshness_days: Bound
    missing_days: Bound
    volume_drop: WarningBound
    volume_spike: WarningBound
    same_ts: Bound
    busiest_hour: Bound
    largest_user: Bound
    largest_dataset: Bound
    outlier_price: Bound
    price_mismatch: Bound
    shifted_duplicate: Bound


class DriftRules(_Part):
    """The comparisons with the last good run."""

    learning_runs: Annotated[int, Field(ge=1)]
    p_value: Annotated[float, Field(gt=0, lt=1)]
    datasets_lost: Bound
    users_lost: Bound
    interactions_lost: Bound
    interactions_gained: Bound
    null_price: Bound
    null_description: Bound
    null_tags: Bound
    null_provider: Bound
    price: Bound
    type_share: Bound
    hour_of_day: Bound
    largest_user: Bound
    largest_dataset: Bound


class Rules(_Part):
    """All bounds."""

    calendar: CalendarRules
    rows: RowRules
    datasets: DatasetRules
    users: UserRules
    interactions: InteractionRules
    drift: DriftRules
