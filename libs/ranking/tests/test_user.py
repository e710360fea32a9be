"""A user: long-term features, and interest that decays and depends on the type of interaction."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.user_blob import History
from ranking.item_stats import DAY
from ranking.user import INTERACTION_WEIGHTS, User, default_features, make_user, user_features

ROWS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 10**7), st.integers(0, 4)), max_size=30)
KNOWN = st.sets(st.integers(1, 30))


def history(rows: list[tuple[int, int, int]]) -> History:
    ids, ts, types = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.empty(0),) * 3
    return History.build(ids.astype(np.int64), ts.astype(np.int64), types.astype(np.uint8))


def user_of(long_term: History, live: History, ids: np.ndarray, *, half_life_days: float = 14, limit: int = 5) -> User:
    return make_user(
        None, long_term.packed(), live.packed(), ids.astype(np.int64), half_life_days=half_life_days, limit=limit
    )


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


def test_long_term_features_leave_exposures_out() -> None:
    types = np.array([0, 2, 2, 4], np.uint8)
    found = user_features(types, np.array([1e6, 0, 9, 99], np.float32))
    np.testing.assert_allclose(found, [np.log1p(3), 2 / 13, np.log1p([0, 9, 99]).mean()], rtol=1e-6)
    assert user_features(types[:1], np.ones(1, np.float32)).tolist() == default_features().tolist()
