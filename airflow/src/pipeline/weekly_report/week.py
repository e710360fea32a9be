"""Weeks of ISO 8601, from Monday to Sunday, in a time zone."""

import re
from datetime import date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from pipeline.errors import InputError

_WEEK = re.compile(r"(\d{4})-W(\d{2})")


class Week(NamedTuple):
    """`name` as 2026-W48; `start` and `end` are the Mondays at midnight, and the end is no part of it."""

    name: str
    start: datetime
    end: datetime

    def contains(self, moment: datetime) -> bool:
        """Return whether a moment is in the week."""
        return self.start <= moment < self.end


def last_week(now: datetime, zone: tzinfo) -> Week:
    """Return the last week that has ended."""
    today = now.astimezone(zone).date()
    return _from_monday(today - timedelta(days=today.weekday() + 7), zone)


def parse_week(text: str, zone: tzinfo) -> Week:
    """Return a week by its name; raises `InputError`."""
    found = _WEEK.fullmatch(text)
    try:
        monday = date.fromisocalendar(int(found[1]), int(found[2]), 1) if found else None
    except ValueError:
        monday = None
    if monday is None:
        raise InputError(f"week {text[:100]!r}: write it as 2026-W48, the year and number of ISO 8601")
    return _from_monday(monday, zone)


def _from_monday(monday: date, zone: tzinfo) -> Week:
    year, number, _ = monday.isocalendar()
    start, end = (datetime.combine(day, time(), zone) for day in (monday, monday + timedelta(days=7)))
    return Week(f"{year}-W{number:02}", start, end)
