"""A user: long-term features, and interest that decays and depends on the type of interaction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.user_blob import History
from ranking.item_stats import DAY
from ranking.user import (
    INTERACTION_WEIGHTS,
    NO_SESSION,
    NO_TIME,
    HistoryContext,
    User,
    complete_features,
    default_features,
    make_user,
    user_features,
)

ROWS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 10**7), st.integers(0, 4)), max_size=30)
KNOWN = st.sets(st.integers(1, 30))


def history(rows: list[tuple[int, int, int]]) -> History:
    ids, ts, types = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.empty(0),) * 3
    return History.build(ids.astype(np.int64), ts.astype(np.int64), types.astype(np.uint8))


def user_of(
    long_term: History, live: History, ids: np.ndarray, *, limit: int = 5, recent_ranks: float = 4.0, at: int = NO_TIME
) -> User:
    context = HistoryContext(ids.astype(np.int64), 14.0, recent_ranks, limit)
    return make_user(None, long_term.packed(), live.packed(), context, at)


@settings(deadline=None)  # the first example compiles
@given(ROWS, ROWS, KNOWN, st.integers(1, 10))
def test_interest_is_the_newest_known_without_exposures_and_sums_to_one(
    long_term: list[tuple[int, int, int]], live: list[tuple[int, int, int]], known: set[int], limit: int
) -> None:
    ids = np.array(sorted(known), np.int64)
    user = user_of(history(long_term), history(live), ids, limit=limit)
    merged = history(long_term).merge(history(live))
    shown = zip(merged.ids.tolist(), merged.ts.tolist(), merged.types.tolist(), strict=True)
    news = [(dataset, ts, INTERACTION_WEIGHTS[kind]) for dataset, ts, kind in shown if dataset in known and kind != 0]
    assert ids[user.seen].tolist() == [dataset for dataset, _, _ in news]
    assert ids[user.items].tolist() == [dataset for dataset, _, _ in news][:limit]
    assert user.weights.dtype == np.float32
    strengths = np.array([strength * 2 ** (-(news[0][1] - ts) / DAY / 14) for _, ts, strength in news[:limit]])
    np.testing.assert_allclose(user.weights, strengths / strengths.sum(), rtol=1e-5)


def test_a_purchase_weighs_three_views_and_a_half_life_halves() -> None:
    both = History(np.array([1, 2]), np.array([1000, 1000]), np.array([4, 2], np.uint8))
    np.testing.assert_allclose(user_of(both, History(), np.array([1, 2])).weights, [0.75, 0.25])
    older = History(np.array([1, 2]), np.array([int(14 * DAY), 0]), np.array([2, 2], np.uint8))
    np.testing.assert_allclose(user_of(older, History(), np.array([1, 2])).weights, [2 / 3, 1 / 3], rtol=1e-6)


def test_all_known_history_is_seen_even_if_it_is_too_old_to_count() -> None:
    ids = np.arange(1, 9)
    built = History(ids, np.arange(8, 0, -1), np.array([2] * 7 + [0], np.uint8))
    user = user_of(built, History(), np.arange(9), limit=3)
    assert user.items.tolist() == [1, 2, 3]
    assert user.seen.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert user.features.tolist() == default_features().tolist()


def test_a_long_history_with_new_interactions_is_cut_to_the_maximum_of_a_history() -> None:
    long_term = History(np.arange(1, 201), np.arange(1000, 800, -1), np.full(200, 2, np.uint8))
    live = History(np.array([1, 300]), np.array([2000, 1999]), np.full(2, 4, np.uint8))
    user = user_of(long_term, live, np.arange(400), limit=300)
    assert user.seen.tolist() == [1, 300, *range(2, 200)]
    assert user.weights[0] == user.weights[1] * np.float32(np.exp2(1 / DAY / 14))


def test_an_unknown_type_does_not_count() -> None:
    odd = History(np.array([1, 2]), np.array([2, 1]), np.array([200, 2], np.uint8))
    assert user_of(odd, History(), np.arange(3)).seen.tolist() == [2]


def test_recent_weights_fall_with_rank_as_well_and_sum_to_one() -> None:
    types = np.array([4, 2, 2, 4], np.uint8)
    ages = np.array([0, 0, 14, 14])
    built = History(np.arange(1, 5), 10**9 - ages * int(DAY), types)
    user = user_of(built, History(), np.arange(5), recent_ranks=2.0)
    strengths = INTERACTION_WEIGHTS[types] * np.exp2(-ages / 14) * np.exp(-np.arange(4) / 2)
    np.testing.assert_allclose(user.recent, strengths / strengths.sum(), rtol=1e-6)
    assert (user.recent.dtype, user.items.tolist()) == (np.float32, [1, 2, 3, 4])


@pytest.mark.parametrize(("recent_ranks", "items"), [(1.0, 7), (2.0, 14), (4.0, 28), (40.0, 100)])
def test_recent_weights_end_where_their_rank_leaves_less_than_a_thousandth(recent_ranks: float, items: int) -> None:
    built = History(np.arange(1, 101), np.full(100, 1000), np.full(100, 2, np.uint8))
    user = user_of(built, History(), np.arange(101), limit=100, recent_ranks=recent_ranks)
    assert (len(user.recent), len(user.items)) == (items, 100)
    np.testing.assert_allclose(user.recent.sum(), 1.0, rtol=1e-6)


def test_without_a_history_there_are_no_recent_weights() -> None:
    assert len(user_of(History(), History(), np.arange(5)).recent) == 0


NOW = 1_767_225_600


def session_of(ages: list[int], *, at: int = NOW, live: History = History(), limit: int = 50) -> list[float]:
    ids = np.arange(1, len(ages) + 1)
    built = History(ids, NOW - np.array(ages, np.int64), np.full(len(ages), 2, np.uint8))
    user = user_of(built, live, np.arange(100), limit=limit, at=at)
    assert user.session.dtype == np.float32
    return np.expm1(user.session.astype(np.float64)).tolist()


def test_a_session_is_the_idle_hours_and_the_interactions_of_the_last_hour_and_day() -> None:
    ages = [1800, 3600, 3601, 86_400, 86_401]
    np.testing.assert_allclose(session_of(ages), [0.5, 2, 4], rtol=1e-6)
    np.testing.assert_allclose(session_of(ages, at=NOW + int(DAY) - 1800), [24, 0, 1], rtol=1e-6)


def test_a_session_has_live_interactions_as_well() -> None:
    live = History(np.array([50]), np.array([NOW - 360]), np.full(1, 2, np.uint8))
    np.testing.assert_allclose(session_of([7200], live=live), [0.1, 1, 2], rtol=1e-6)


def test_a_session_leaves_out_exposures_and_datasets_that_are_not_in_the_catalogue() -> None:
    built = History(np.array([1, 2, 3]), NOW - np.array([60, 120, 720]), np.array([0, 2, 2], np.uint8))
    user = user_of(built, History(), np.array([1, 3]), at=NOW)
    np.testing.assert_allclose(np.expm1(user.session), [0.2, 1, 1], rtol=1e-6)


def test_a_session_counts_no_more_interactions_than_the_history_has_items() -> None:
    np.testing.assert_allclose(session_of([60] * 9, limit=3), [1 / 60, 3, 3], rtol=1e-6)


def test_a_clock_that_is_behind_the_interactions_gives_no_negative_idle_time() -> None:
    np.testing.assert_allclose(session_of([-7200, 1800]), [0, 2, 2], rtol=1e-6)


def test_without_a_time_or_a_history_a_session_has_its_defaults() -> None:
    assert NO_SESSION.tolist() == [-1.0, 0.0, 0.0]
    built = History(np.array([1]), np.array([NOW]), np.full(1, 2, np.uint8))
    assert user_of(built, History(), np.arange(5)).session.tolist() == NO_SESSION.tolist()
    assert user_of(History(), History(), np.arange(5), at=NOW).session.tolist() == NO_SESSION.tolist()


def test_features_of_the_first_release_are_completed_with_defaults() -> None:
    first = np.array([1.5, 0.2, 4.0], np.float32)
    assert complete_features(first).tolist() == first.tolist() + default_features()[3:].tolist()
    assert complete_features(None).tolist() == default_features().tolist()
    everything = np.arange(8, dtype=np.float32)
    assert complete_features(everything).tolist() == everything.tolist()


def test_long_term_features_leave_exposures_out() -> None:
    types = np.array([0, 2, 2, 4], np.uint8)
    prices = np.array([1e6, 0, 9, 99], np.float32)
    trends = np.array([[90, 90, 90], [1, 2, 3], [4, 6, 8], [10, 20, 30]], np.float32)
    found = user_features(types, prices, trends)
    falling = np.exp([-2 / 4, -1 / 4, 0])
    recent_trend, _, recent_age = (falling[:, None] * trends[1:]).sum(axis=0) / falling.sum()
    expected = [np.log1p(3), 2 / 13, np.log1p([0, 9, 99]).mean(), 5, 28 / 3, 41 / 3, recent_trend, recent_age]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32
    nothing = user_features(types[:1], np.ones(1, np.float32), np.ones((1, 3), np.float32))
    assert nothing.tolist() == default_features().tolist()


def test_the_habits_of_a_user_lean_towards_the_latest_interactions() -> None:
    trends = np.array([[0, 0, 0]] * 9 + [[1, 1, 1]], np.float32)
    found = user_features(np.full(10, 2, np.uint8), np.ones(10, np.float32), trends)
    assert found[3] == found[4] == found[5] == np.float32(0.1)
    assert found[6] == found[7] > 2 * found[3]
