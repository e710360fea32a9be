"""Converts a database's values to an Arrow column of times in UTC.

A time outside of Python's calendar (BC, the year 12026, `infinity`, 0000-00-00) becomes the calendar's first or last
time: it is one bad row among others, and the quality checks count it.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.moments import UnusableMomentError, parse_row_moment
from pipeline.business.content import TIME
from pipeline.extract.values import UnusableValueError, Values, kinds_of

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
# Called with the text of a value outside of the calendar, and whether it is after the calendar's end.
Noticed = Callable[[str, bool], None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (FIRST - _EPOCH) // _MICROSECOND
_LAST = (LAST - _EPOCH) // _MICROSECOND
_NULL = np.iinfo(np.int64).min
# The form of a date, but not in the calendar.
_DATE = re.compile(r"(?P<sign>-?)(?P<year>[0-9]{4,})-[0-9]{1,2}-[0-9]{1,2}(?![0-9]).*?(?P<before_christ>BC)?\)?.*")
_INFINITE = {"infinity": _LAST, "-infinity": _FIRST}
_NUMBERS = {int, float, Decimal}
_MILLISECONDS_FROM = 1e11
# Offsets of time zones change at quarters of an hour.
_QUARTER_US = 900_000_000


def moment_column(values: Values, zone: tzinfo, notice: Noticed) -> pa.Array:
    """Return times from numbers (Unix seconds) or texts (ISO 8601; without an offset they are in `zone`).

    Raises `UnusableValueError`.
    """
    kinds = kinds_of(values)
    if not kinds:
        return pa.nulls(len(values), TIME)
    if kinds == {str}:
        return moments_of_texts(pa.array(values, pa.string()), zone, notice)
    if kinds <= _NUMBERS:
        return _from_numbers(values, notice)
    return _array(np.array([_from_any(value, zone, notice) for value in values], np.int64))


def moments_of_texts(texts: pa.StringArray, zone: tzinfo, notice: Noticed) -> pa.Array:
    """Return times from texts alone, as `moment_column` does."""
    try:
        if _has_offset(texts):
            return texts.cast(TIME)
        local = texts.cast(pa.timestamp("us"))
        return local.cast(TIME) if zone is UTC else _in_zone(local, zone)
    except pa.ArrowInvalid:
        values = texts.to_pylist()
        known: dict[object, int] = {None: _NULL}
        for text in values:
            if text not in known:
                known[text] = _from_text(text, zone, notice)
        return _array(np.fromiter((known[text] for text in values), np.int64, len(values)))


def _has_offset(texts: pa.StringArray) -> bool:
    """Return whether the first time is one with an offset: to cast all in vain is slow."""
    first = texts.slice(0, 1) if texts.null_count == 0 else texts.drop_null().slice(0, 1)
    try:
        first.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return True
    return False


def _in_zone(local: pa.Array, zone: tzinfo) -> pa.Array:
    """Return naive times as times of a zone."""
    wall = local.cast(pa.int64()).fill_null(0).to_numpy()
    quarters, places = np.unique(wall // _QUARTER_US, return_inverse=True)
    offsets = np.array([_offset_us(int(quarter), zone) for quarter in quarters], np.int64)
    moments = np.clip(wall - offsets[places], _FIRST, _LAST)
    return _array(np.where(local.is_null().to_numpy(zero_copy_only=False), _NULL, moments))


def _offset_us(quarter: int, zone: tzinfo) -> int:
    try:
        wall = datetime(1970, 1, 1) + timedelta(microseconds=quarter * _QUARTER_US)  # noqa: DTZ001 - it gets its zone here
    except OverflowError:
        return 0
    return (wall.replace(tzinfo=zone).utcoffset() or timedelta()) // _MICROSECOND


def _from_text(text: str, zone: tzinfo, notice: Noticed) -> int:
    try:
        return (parse_row_moment(text.strip(), zone) - _EPOCH) // _MICROSECOND
    except UnusableMomentError as error:
        unusable = error
    infinite = _INFINITE.get(text.strip().lower())
    found = _DATE.fullmatch(text.strip())
    if infinite is None and found is None:
        raise UnusableValueError(text, str(unusable)) from unusable
    if found is None:
        is_late = infinite == _LAST
    else:
        is_late = int(found["year"]) > LAST.year and not found["sign"] and not found["before_christ"]
    notice(text, is_late)
    return _LAST if is_late else _FIRST


def _from_numbers(values: Values, notice: Noticed) -> pa.Array:
    seconds = np.array([math.nan if value is None else _seconds(value) for value in values], np.float64)
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(seconds)
        if (too_large := finite & (np.abs(seconds) >= _MILLISECONDS_FROM)).any():
            _refuse(values[int(too_large.argmax())])
        if (dates := finite & _look_like_dates(seconds)).any():
            raise UnusableValueError(
                values[int(dates.argmax())],
                "looks like a date written as a number (YYYYMMDD); convert it to a date in the SQL",
            )
        moments = np.where(finite, np.round(np.where(finite, seconds, 0) * 1e6), 0).astype(np.int64)
    nulls = np.array([value is None for value in values])
    late = seconds == math.inf
    for is_late, places in ((True, late), (False, ~finite & ~nulls & ~late)):
        for place in np.flatnonzero(places)[:1]:
            notice(str(values[int(place)]), is_late)
    moments[~finite] = np.where(late[~finite], _LAST, _FIRST)
    moments[nulls] = _NULL
    return _array(moments)


def _seconds(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type] # a number
    except OverflowError:
        return math.inf


def _look_like_dates(seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    whole = (seconds >= 19700102) & (seconds <= 21051231) & (seconds == np.floor(seconds))
    month, day = seconds // 100 % 100, seconds % 100
    found: NDArray[np.bool_] = whole & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return found


def _refuse(value: object) -> NoReturn:
    digits = str(value)
    if re.fullmatch(r"(19|20)[0-9]{12}", digits):
        raise UnusableValueError(value, "looks like a time written as a number (YYYYMMDDhhmmss); convert it in the SQL")
    raise UnusableValueError(value, "looks like Unix milliseconds; divide by 1000 in the SQL")


def _from_any(value: object, zone: tzinfo, notice: Noticed) -> int:
    if value is None:
        return _NULL
    if type(value) in _NUMBERS:
        return int(_from_numbers([value], notice).cast(pa.int64())[0].as_py())
    if isinstance(value, str | date):
        return _from_text(value if isinstance(value, str) else value.isoformat(), zone, notice)
    raise UnusableValueError(value, f"is of type {type(value).__name__}; select a time, Unix seconds or ISO 8601 text")


def _array(moments: NDArray[np.int64]) -> pa.Array:
    return pa.array(moments, pa.int64(), mask=moments == _NULL).cast(TIME)
