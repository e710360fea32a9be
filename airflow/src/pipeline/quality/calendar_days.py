"""Tells rest days from working days, because they have different numbers of interactions."""

import logging
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Literal

import chinese_calendar

_SATURDAY = 5
_log = logging.getLogger(__name__)
IsRestDay = Callable[[date], bool]


def rest_days(holidays: Literal["china", "none"]) -> IsRestDay:
    """Return the function that says whether a day is a rest day."""
    return _is_rest_day_in_china if holidays == "china" else _is_weekend


def _is_weekend(day: date) -> bool:
    return day.weekday() >= _SATURDAY


def _is_rest_day_in_china(day: date) -> bool:
    try:
        return bool(chinese_calendar.is_holiday(day))
    except NotImplementedError:
        # The government announces the holidays of a year at the end of the year before.
        _note_unknown_year(day.year)
        return _is_weekend(day)


@cache
def _note_unknown_year(year: int) -> None:
    _log.info("the public holidays of %d are not known: only its weekends count as rest days", year)
