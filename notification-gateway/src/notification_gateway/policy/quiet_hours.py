"""Quiet hours: a rule's immediate messages wait until their end; pure."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from contracts.time_zones import TimeZoneName

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


def _time(value: object) -> object:
    if isinstance(value, time):
        return value
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        # YAML reads 22:00 as the number 1320.
        raise ValueError('write a time of day as "22:00", in quotes')
    return time(int(found[1]), int(found[2]))


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


TimeOfDay = Annotated[time, BeforeValidator(_time)]


class QuietHours(BaseModel):
    """From one time of day to another; if `to` is not after `from`, to the next day. They begin on `days`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    begin: Annotated[TimeOfDay, Field(alias="from")]
    end: Annotated[TimeOfDay, Field(alias="to")]
    timezone: TimeZoneName
    days: Annotated[tuple[Annotated[Day, BeforeValidator(_lower)], ...], Field(min_length=1)] = DAYS
    # Delaying a P0 must be an explicit decision.
    hold_p0: bool = False

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.begin == self.end:
            raise ValueError("`from` and `to` are the same time; quiet hours must end")
        return self

    def until(self, at: datetime) -> datetime | None:
        """Return the end of the quiet hours that contain `at`, or None."""
        zone = ZoneInfo(self.timezone)
        today = at.astimezone(zone).date()
        for day in (today, today - timedelta(days=1)):
            if DAYS[day.weekday()] not in self.days:
                continue
            last = day if self.end > self.begin else day + timedelta(days=1)
            # Compared in UTC: Python compares times of one zone by local time, which is ambiguous when clocks go back.
            start = datetime.combine(day, self.begin, zone).astimezone(UTC)
            end = datetime.combine(last, self.end, zone).astimezone(UTC)
            if start <= at < end:
                return end
        return None
