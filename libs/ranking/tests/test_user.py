"""A user: long-term features, and interest that fades and counts by strength."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.user_blob import History
from ranking.item_stats import DAY
from ranking.user import default_features, make_user, recent_interest, user_features

ROWS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 10**7), st.integers(0, 4), st.booleans()), max_size=30)


def history(rows: list[tuple[int, int, int, bool]]) -> tuple[History, np.ndarray]:
    ids, ts, types, _ = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.empty(0),) * 4
    built = History.build(ids.astype(np.int64), ts.astype(np.int64), types.astype(np.uint8))
    outside = {int(row[0]) for row in rows if not row[3]}
    return built, np.array([-1 if dataset in outside else dataset for dataset in built.ids.tolist()], np.int32)


@settings(deadline=None)  # the first example compiles
@given(ROWS, st.integers(1, 10))
def test_interest_is_the_newest_known_without_exposures_and_sums_to_one(
    rows: list[tuple[int, int, int, bool]], limit: int
) -> None:
    built, positions = history(rows)
    items, weights = recent_interest(built, positions, half_life_days=14, limit=limit)
    shown = zip(positions.tolist(), built.types.tolist(), strict=True)
    assert items.tolist() == [position for position, kind in shown if position >= 0 and kind != 0][:limit]
    assert weights.dtype == np.float32
    assert not len(items) or abs(float(weights.sum()) - 1) < 1e-5


def test_a_purchase_weighs_three_views_and_a_half_life_halves() -> None:
    both = History(np.array([1, 2]), np.array([1000, 1000]), np.array([4, 2], np.uint8))
    _, weights = recent_interest(both, np.array([1, 2], np.int32), half_life_days=14, limit=5)
    np.testing.assert_allclose(weights, [0.75, 0.25])
    older = History(np.array([1, 2]), np.array([int(14 * DAY), 0]), np.array([2, 2], np.uint8))
    _, weights = recent_interest(older, np.array([1, 2], np.int32), half_life_days=14, limit=5)
    np.testing.assert_allclose(weights, [2 / 3, 1 / 3], rtol=1e-6)


def test_all_known_history_is_seen_also_what_is_too_old_to_count() -> None:
    ids = np.arange(1, 9)
    built = History(ids, np.arange(8, 0, -1), np.array([2] * 7 + [0], np.uint8))
    user = make_user(None, built, ids.astype(np.int32), half_life_days=14, limit=3)
    assert user.items.tolist() == [1, 2, 3]
    assert user.seen.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert user.features.tolist() == default_features().tolist()


def test_long_term_features_leave_exposures_out() -> None:
    types = np.array([0, 2, 2, 4], np.uint8)
    found = user_features(types, np.array([1e6, 0, 9, 99], np.float32))
    np.testing.assert_allclose(found, [np.log1p(3), 2 / 13, np.log1p([0, 9, 99]).mean()], rtol=1e-6)
    assert user_features(types[:1], np.ones(1, np.float32)).tolist() == default_features().tolist()
