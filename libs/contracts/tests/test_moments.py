"""Moments: parsed by their grammar, in UTC, within bounds."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.moments import (
    UnusableMomentError,
    check_between,
    from_unix_seconds,
    has_zone,
    parse_moment,
    parse_row_moment,
    to_utc,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T12:00:00Z",
        "2026-11-24T20:00:00+08:00",
        "2026-11-24 12:00Z",
        "20261124T120000Z",
        "2026-11-24t12:00:00.000000123z",
    ],
)
def test_a_moment_is_iso_8601_with_a_zone(text: str) -> None:
    assert parse_moment(text) == NOON
    assert parse_moment(text).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-24T12:00:00",
        "2026-11-24",
        "1760000000",
        1760000000,
        1760000000.5,
        None,
        True,
        "２０２６-11-24T12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-11-24T25:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "2026-11-24T12:00:00Z\n",
        "2026-11-24T12:00:00+99:00",
    ],
)
def test_what_is_not_such_a_text_or_not_storable_in_utc_is_no_moment(value: object) -> None:
    with pytest.raises(UnusableMomentError):
        parse_moment(value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20260131", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("1760000000", datetime.fromtimestamp(1760000000, UTC)),
        ("1760000000.25", datetime.fromtimestamp(1760000000.25, UTC)),
        ("2026-01-31T08:00:00+08:00", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_cell_holds_iso_8601_or_unix_seconds(text: str, moment: datetime) -> None:
    assert parse_row_moment(text) == moment


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("2026", "neither ISO 8601"),
        ("1_700_000_000", "neither ISO 8601"),
        ("２０２６", "neither ISO 8601"),
        ("1760000000000", "milliseconds"),
        ("1760000000000000", "microseconds"),
        ("46053.5", "spreadsheet"),
        ("20261331", "calendar"),
        ("31.01.2026", "neither ISO 8601"),
        ("nan", "neither ISO 8601"),
        ("1e9", "neither ISO 8601"),
    ],
)
def test_any_other_cell_is_refused_with_what_to_write_instead(text: str, hint: str) -> None:
    with pytest.raises(UnusableMomentError, match=hint):
        parse_row_moment(text)


def test_a_cell_without_a_zone_is_a_time_of_the_zone_that_is_set() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    assert parse_row_moment("2026-11-24 20:00:00", shanghai) == NOON
    assert parse_row_moment("2026-11-24T12:00:00Z", shanghai) == NOON


def test_an_hour_that_comes_twice_is_the_first_one() -> None:
    assert parse_row_moment("2025-10-26 02:30", BERLIN) == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)


def test_a_time_that_clocks_skipped_is_refused_and_a_day_that_begins_late_begins_then() -> None:
    with pytest.raises(UnusableMomentError, match="is a time that clocks in Europe/Berlin skipped"):
        parse_row_moment("2025-03-30 02:30", BERLIN)
    assert parse_row_moment("2018-11-04", ZoneInfo("America/Sao_Paulo")) == datetime(2018, 11, 4, 3, tzinfo=UTC)


@pytest.mark.parametrize("text", ["0001-01-01 00:00", "0001-01-01", "9999-12-31 23:59:59"])
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "Europe/Berlin"])
def test_local_times_at_the_edges_of_the_calendar_are_moments_or_refused(text: str, zone: str) -> None:
    try:
        moment = parse_row_moment(text, ZoneInfo(zone))
    except UnusableMomentError:
        return
    assert moment.tzinfo is UTC


def test_a_cell_says_whether_it_has_a_zone() -> None:
    assert [has_zone(text) for text in ("2026-11-24 20:00", "20261124", "20261124T120000Z", "1760000000")] == [
        False,
        False,
        True,
        True,
    ]


def test_a_moment_a_few_hours_ahead_brings_the_hint_at_its_zone() -> None:
    with pytest.raises(UnusableMomentError, match=r"8\.0 h in the future; is it a local time"):
        check_between(NOON + timedelta(hours=8), NOON - timedelta(days=1), NOON)
    with pytest.raises(UnusableMomentError, match=r"lies in the future$"):
        check_between(NOON + timedelta(days=8), NOON - timedelta(days=1), NOON)
    with pytest.raises(UnusableMomentError, match="lies before 2026-11-23"):
        check_between(NOON - timedelta(days=8), NOON - timedelta(days=1), NOON)


@given(st.floats() | st.integers())
def test_a_number_of_seconds_is_a_moment_or_refused(seconds: float) -> None:
    try:
        assert from_unix_seconds(seconds).tzinfo is UTC
    except UnusableMomentError:
        return


@given(st.text() | st.from_regex(r"\A[0-9T:Z+. -]{1,30}\Z") | st.datetimes().map(str))
def test_a_text_is_a_moment_or_refused(text: str) -> None:
    for parse in (parse_moment, parse_row_moment):
        try:
            assert parse(text).tzinfo is UTC
        except UnusableMomentError:
            continue


def test_the_edges_of_the_calendar_are_refused() -> None:
    with pytest.raises(UnusableMomentError):
        to_utc(datetime.fromisoformat("0001-01-01T00:00:00+14:00"))
