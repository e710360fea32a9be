"""Which versions retention keeps, and why."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.retention import KeepReason
from model_registry.retention.rule import Limits, PrimaryStart, Usage, VersionState, keep_reasons

NOW = datetime(2026, 11, 29, tzinfo=UTC)
LIMITS = Limits(trained=2, refreshes=1, days=90)
IN_USE = [KeepReason.ACTIVE, KeepReason.CANARY, KeepReason.SHADOW, KeepReason.PREDECESSOR, KeepReason.REPLICA]


def primaries(*starts: tuple[int, int]) -> Usage:
    """Return versions with the days before now on which they became primary."""
    return Usage({}, [PrimaryStart(number, NOW - timedelta(days=days)) for number, days in starts])


def test_the_newest_trained_versions_and_refreshes_are_kept_and_refreshes_do_not_count_as_trained() -> None:
    versions = [VersionState(1), VersionState(2), VersionState(3)]
    refreshes = [VersionState(4, refreshes=3), VersionState(5, refreshes=3), VersionState(6, refreshes=3)]
    kept = keep_reasons([*versions, *refreshes], Usage({}), LIMITS, NOW)
    assert kept == {
        6: [KeepReason.LAST_REFRESHES],
        3: [KeepReason.REFRESHED, KeepReason.LAST_TRAINED],
        2: [KeepReason.LAST_TRAINED],
    }


@pytest.mark.parametrize("reason", IN_USE)
def test_a_version_in_use_is_kept_however_old_it_is(reason: KeepReason) -> None:
    kept = keep_reasons(map(VersionState, range(1, 10)), Usage({reason: {1}}), LIMITS, NOW)
    assert kept[1] == [reason]
    assert set(kept) == {1, 8, 9}


def test_the_trained_version_of_a_kept_refresh_is_kept() -> None:
    versions = [*map(VersionState, (1, 2, 3)), VersionState(4, refreshes=1), VersionState(5, refreshes=3)]
    kept = keep_reasons(versions, Usage({KeepReason.ACTIVE: {4}}), LIMITS, NOW)
    assert (kept[4], kept[1]) == ([KeepReason.ACTIVE], [KeepReason.REFRESHED])


@pytest.mark.parametrize(("replaced_days_ago", "is_kept"), [(89, True), (90, True), (91, False)])
def test_a_primary_is_kept_for_so_many_days_after_it_was_replaced(replaced_days_ago: int, is_kept: bool) -> None:
    usage = primaries((1, 400), (2, replaced_days_ago), (9, 80))
    kept = keep_reasons(map(VersionState, range(1, 10)), usage, LIMITS, NOW)
    assert (1 in kept) is is_kept
    # It served until the day 80.
    assert kept[2] == [KeepReason.RECENT_PRIMARY]


def test_a_primary_refresh_counts_for_its_trained_version_also_after_it_was_removed() -> None:
    versions = [VersionState(1), VersionState(2, refreshes=1, is_removed=True), VersionState(3, refreshes=1)]
    newer = [VersionState(4), VersionState(5), VersionState(6, refreshes=5)]
    kept = keep_reasons([*versions, *newer], primaries((1, 300), (2, 200), (3, 100), (5, 80)), LIMITS, NOW)
    assert kept[1] == [KeepReason.RECENT_PRIMARY]
    assert set(kept) == {1, 4, 5, 6}


def test_a_version_that_was_removed_before_takes_no_place() -> None:
    versions = [VersionState(1), VersionState(2), VersionState(3, is_removed=True), VersionState(4)]
    assert set(keep_reasons(versions, Usage({}), LIMITS, NOW)) == {2, 4}


@given(st.data())
def test_a_version_in_use_and_the_newest_ones_are_never_removed(data: st.DataObject) -> None:
    trained = list(range(1, data.draw(st.integers(2, 8))))
    refreshed = data.draw(st.lists(st.sampled_from(trained), max_size=8))
    refreshes = [VersionState(100 + index, refreshes=number) for index, number in enumerate(refreshed)]
    versions = [*map(VersionState, trained), *refreshes]
    numbers = [each.number for each in versions]
    days = data.draw(st.lists(st.tuples(st.sampled_from(numbers), st.integers(0, 300)), max_size=10))
    in_use = {reason: data.draw(st.sets(st.sampled_from(numbers), max_size=2)) for reason in IN_USE}
    timeline = primaries(*sorted(days, key=lambda start: -start[1])).primaries
    limits = Limits(data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)), data.draw(st.integers(0, 200)))
    kept = keep_reasons(versions, Usage(in_use, timeline), limits, NOW)
    assert set().union(*in_use.values()) <= set(kept)
    assert {trained[-1], *[each.number for each in refreshes[-1:]]} <= set(kept)
    assert {each.trained for each in refreshes if each.number in kept} <= set(kept)
    assert all(kept.values())
