"""Moments: aware datetimes that can be stored in UTC, within the bounds of where they come in."""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator

# A sender's clock may run ahead by so much.
CLOCK_AHEAD = timedelta(minutes=5)
EARLIEST_EVENT = datetime(2000, 1, 1, tzinfo=UTC)
EARLIEST_ROW = datetime(1970, 1, 2, tzinfo=UTC)
EARLIEST_CREATION = datetime(1900, 1, 1, tzinfo=UTC)
# Packed histories hold Unix seconds in 32 bits.
LATEST = datetime(2106, 1, 1, tzinfo=UTC)

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}"
_TIME = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?|[0-9]{4}(?:[0-9]{2}(?:[.,][0-9]{1,9})?)?"
_ZONE = r"[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?"
_ISO = re.compile(rf"(?P<date>{_DATE})(?:[Tt ](?P<time>{_TIME}) ?(?P<zone>{_ZONE})?)?")
_UNIX_SECONDS = re.compile(r"[0-9]{9,10}(?:\.[0-9]{1,9})?")
_FINER_THAN_SECONDS = {13: "milliseconds", 16: "microseconds", 19: "nanoseconds"}
_SPREADSHEET_DAYS = re.compile(r"[2-6][0-9]{4}(?:\.[0-9]+)?")


class UnusableMomentError(ValueError):
    """The value is not a moment, or lies outside of what can be meant; the message says what to write instead."""


def to_utc(moment: datetime) -> datetime:
    """Return an aware datetime in UTC; raises `UnusableMomentError` at the edges of the calendar."""
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise UnusableMomentError("the time lies outside of the calendar in UTC") from error


def clamp_to_utc(moment: datetime) -> datetime:
    """Return an aware datetime in UTC, the first or last one of the calendar where it lies outside."""
    try:
        return to_utc(moment)
    except UnusableMomentError:
        is_late = moment.year > EARLIEST_EVENT.year
        return datetime.max.replace(tzinfo=UTC) if is_late else datetime.min.replace(tzinfo=UTC)


def parse_moment(value: object) -> datetime:
    """Return the moment of an ISO 8601 text with a zone, in UTC; raises `UnusableMomentError`."""
    return to_utc(_parse_aware(value))


def parse_row_moment(text: str, zone: tzinfo = UTC) -> datetime:
    """Return the moment that a cell of a table holds, in UTC: ISO 8601 or Unix seconds.

    A time without a zone of its own is one of `zone` (`from_local`). Raises `UnusableMomentError`.
    """
    match = _ISO.fullmatch(text)
    if match is not None:
        moment = _from_iso(text)
        if moment.tzinfo is not None:
            return to_utc(moment)
        return from_local(moment, zone) if match["time"] is not None else start_of_day(moment, zone)
    if _UNIX_SECONDS.fullmatch(text):
        return from_unix_seconds(float(text))
    finer = _FINER_THAN_SECONDS.get(len(text)) if text.isascii() and text.isdigit() else None
    if finer is not None:
        raise UnusableMomentError(f"looks like Unix {finer}; write Unix seconds or ISO 8601")
    if _SPREADSHEET_DAYS.fullmatch(text):
        raise UnusableMomentError("looks like a spreadsheet's number of days; format the column as a date in ISO 8601")
    raise UnusableMomentError("is neither ISO 8601 (2026-11-24 or 2026-11-24T12:00:00+08:00) nor Unix seconds")


def has_zone(text: str) -> bool:
    """Return whether a text that `parse_row_moment` reads says by itself which moment it is."""
    match = _ISO.fullmatch(text)
    return match is None or match["zone"] is not None


def from_local(moment: datetime, zone: tzinfo) -> datetime:
    """Return the moment of a clock's time in `zone`, in UTC; raises `UnusableMomentError`.

    When clocks are put back, an hour occurs twice: the first one is taken. When they are put forward, an hour does not
    occur: a time in it is rejected, because it comes from another zone.
    """
    if zone is UTC:
        return moment.replace(tzinfo=UTC)
    local = to_utc(moment.replace(tzinfo=zone, fold=0))
    if local.astimezone(zone).replace(tzinfo=None) != moment:
        raise UnusableMomentError(f"is a time that clocks in {zone} skipped; add an offset, as +08:00")
    return local


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the first moment of a day in `zone`, in UTC, also where clocks skipped midnight."""
    return to_utc(datetime(day.year, day.month, day.day, tzinfo=zone))


def from_unix_seconds(seconds: float) -> datetime:
    """Return the moment of a number of Unix seconds; raises `UnusableMomentError`."""
    if abs(seconds) >= 1e11:
        raise UnusableMomentError("looks like Unix milliseconds; divide by 1000, or write ISO 8601")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise UnusableMomentError("is not a number of Unix seconds") from error


def check_between(moment: datetime, earliest: datetime, latest: datetime) -> datetime:
    """Return a moment that lies between two others; raises `UnusableMomentError`."""
    if moment < earliest:
        raise UnusableMomentError(f"lies before {earliest:%Y-%m-%d}")
    if moment > latest:
        ahead = moment - latest
        raise UnusableMomentError(
            f"lies {_format_span(ahead)} in the future; is it a local time? add its offset, as +08:00"
            if ahead <= timedelta(hours=14)
            else "lies in the future"
        )
    return moment


def _format_span(span: timedelta) -> str:
    minutes = span // timedelta(minutes=1)
    return f"{minutes} min" if minutes < 60 else f"{minutes / 60:.1f} h"


def _from_iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.replace(",", ".").replace(" ", "T", 1).replace(" ", "").upper())
    except ValueError as error:
        raise UnusableMomentError(f"is not a time of the calendar ({error})") from error


def _parse_aware(value: object) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    match = _ISO.fullmatch(value) if isinstance(value, str) else None
    if match is None or match["zone"] is None:
        raise UnusableMomentError("a time is a text in ISO 8601 with a zone, as 2026-11-24T12:00:00Z")
    return _from_iso(match[0])


def _clamped_moment(value: object) -> datetime:
    return clamp_to_utc(_parse_aware(value))


def _event_moment(value: object) -> datetime:
    return check_between(parse_moment(value), EARLIEST_EVENT, LATEST)


Moment = Annotated[AwareDatetime, BeforeValidator(parse_moment)]
# For reports of other programs that must not be lost: clamped to the calendar instead of rejected.
ClampedMoment = Annotated[AwareDatetime, BeforeValidator(_clamped_moment)]
# The bounds that need no clock; the receiver of events compares with the clock.
EventMoment = Annotated[AwareDatetime, BeforeValidator(_event_moment)]
