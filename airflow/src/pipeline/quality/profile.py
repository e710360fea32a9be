"""The profile of a run's data: aggregates that later runs compare themselves with.

It is stored as `clean/profile.json`. A reader ignores fields that it doesn't know, so profiles of other releases stay
readable.
"""

from datetime import date, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PROFILE = "profile.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ColumnProfile(_Record):
    """One column. `distinct` and `largest_share` count only values that are not null.

    `largest_share`: share of the most frequent value; `percentiles`: 101 values of a column of numbers, from the
    smallest to the largest; `mean_chars`: mean length of texts.
    """

    nulls: int
    distinct: int
    largest_share: float
    percentiles: list[float] = []
    mean_chars: float | None = None


class TableProfile(_Record):
    """One table."""

    rows: int
    columns: dict[str, ColumnProfile] = {}

    def null_share(self, column: str) -> float | None:
        """Return the share of rows without a value, None if it is not known."""
        found = self.columns.get(column)
        return None if found is None or not self.rows else found.nulls / self.rows


class Activity(_Record):
    """The interactions in time. Days and hours are those of the rules' time zone."""

    first: datetime | None = None
    newest: datetime | None = None
    # Seconds from the newest interaction to the time of the run.
    freshness_seconds: float | None = None
    by_type: dict[str, int] = {}
    by_day: dict[date, dict[str, int]] = {}
    # Of each hour of day, in all rows and in those of the last 7 complete days.
    by_hour: list[int] = Field(default_factory=lambda: [0] * 24)
    recent_by_hour: list[int] = Field(default_factory=lambda: [0] * 24)

    def rows_of(self, day: date) -> int:
        """Return the number of interactions of a day."""
        return sum(self.by_day.get(day, {}).values())


class Profile(_Record):
    """The aggregates of the clean tables of one run."""

    as_of: datetime
    datasets: TableProfile
    users: TableProfile
    interactions: TableProfile
    activity: Activity
    # Rows of each source, such as the event log.
    sources: dict[str, int] = {}


def write_profile(profile: Profile, folder: Path) -> None:
    """Write `profile.json`."""
    (folder / PROFILE).write_text(profile.model_dump_json(indent=1), encoding="utf-8")


def parse_profile(content: bytes) -> Profile | None:
    """Return a stored profile, None if it cannot be read."""
    try:
        return Profile.model_validate_json(content)
    except ValidationError:
        return None
