"""Item features as of a given time: each follows its definition, in whatever order interactions were added."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.events import InteractionType
from contracts.features import ITEM_FEATURES
from ranking.item_stats import DAY, HOUR, NEVER, RANKED, ItemStats, StatsState
from ranking.popularity import LONG_HALF_LIFE_DAYS, popular_at

START = 1_700_000_000
NAMES = [feature.name for feature in ITEM_FEATURES]
INTERACTIONS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3 * 365 * 86_400), st.integers(0, 4)), min_size=1, max_size=60
)


def stats_of(rows: list[tuple[int, int, int]], parts: int = 1) -> ItemStats:
    stats = ItemStats(np.full(4, START - 86_400), np.array([0, 9, 99, -1], np.float32), float(START))
    for part in range(parts):
        chosen = rows[part::parts]
        stats.add(
            np.array([item for item, _, _ in chosen], np.int32),
            np.array([START + after for _, after, _ in chosen], np.int64),
            np.array([kind for _, _, kind in chosen], np.uint8),
        )
    return stats


def by_name(stats: ItemStats, at: float) -> dict[str, list[float]]:
    rows = stats.rows(np.arange(4, dtype=np.int32), at)
    assert (rows.dtype, rows.shape) == (np.float32, (4, len(ITEM_FEATURES)))
    return {name: rows[:, column].tolist() for column, name in enumerate(NAMES)}


@settings(deadline=None)  # the first example compiles
@given(INTERACTIONS, st.integers(0, 86_400))
def test_counts_decay_by_their_half_lives_over_years_and_exposures_count_nothing(
    rows: list[tuple[int, int, int]], later: int
) -> None:
    at = START + max(after for _, after, _ in rows) + later
    found = by_name(stats_of(rows), at)
    for item in range(4):
        mine = [(START + after, kind) for i, after, kind in rows if i == item and kind != InteractionType.EXPOSURE]
        for name, days in (("6h", 0.25), ("12h", 0.5), ("1d", 1), ("2d", 2), ("3d", 3), ("7d", 7), ("30d", 30)):
            count = sum(2.0 ** (-(at - ts) / (days * DAY)) for ts, _ in mine)
            np.testing.assert_allclose(found[f"item_popularity_{name}"][item], np.log1p(count), rtol=1e-4, atol=1e-6)
        idle = at - max((ts for ts, _ in mine), default=at - 30 * 365 * DAY)
        np.testing.assert_allclose(found["item_idle_hours"][item], np.log1p(idle / HOUR), rtol=1e-6)
        np.testing.assert_allclose(found["item_popularity_all"][item], np.log1p(len(mine)), rtol=1e-6)
        bought = sum(kind == InteractionType.PURCHASE for _, kind in mine)
        np.testing.assert_allclose(found["item_purchase_share"][item], (bought + 1) / (len(mine) + 10), rtol=1e-6)


@settings(deadline=None)  # the first example compiles
@given(INTERACTIONS, st.integers(2, 5))
# The count of one day is near the smallest float64.
@example([(0, 0, 0)] * 4 + [(0, 1, 1), (0, 1075 * 86_400, 0)], 2)
# Each count of one day rounds to 0 at the last origin, but not their sum.
@example([(0, 4_302_720, 2), (1, 1000 * 86_400, 2), (2, 1130 * 86_400, 2), (0, 4_302_720, 2)], 3)
def test_adding_in_parts_and_in_any_order_gives_the_same(rows: list[tuple[int, int, int]], parts: int) -> None:
    at = START + 4 * 365 * 86_400
    everything = np.arange(4, dtype=np.int32)
    np.testing.assert_allclose(
        stats_of(rows).rows(everything, at), stats_of(rows, parts).rows(everything, at), rtol=1e-5, atol=1e-6
    )


def test_age_and_price_are_logarithmic_and_never_negative() -> None:
    found = by_name(stats_of([(0, 0, 2)]), START + 86_400)
    assert found["item_age_days"] == [np.float32(np.log1p(2.0))] * 4
    assert found["item_price"] == np.log1p(np.array([0, 9, 99, 0], np.float32)).tolist()
    assert by_name(stats_of([]), START - 10 * 86_400)["item_age_days"] == [0.0] * 4


def test_the_most_popular_item_has_share_one_and_rising_ones_a_higher_trend() -> None:
    old, new = 0, 20 * 86_400
    found = by_name(stats_of([(0, old, 2)] * 5 + [(1, new, 2)] * 5 + [(2, new, 2)]), START + new)
    assert found["item_popularity_share"][1] == 1.0
    assert found["item_trend"][1] > found["item_trend"][0]


def many(counts: list[int]) -> ItemStats:
    """Return statistics of items that have so many interactions each, all at `START`."""
    n = len(counts)
    stats = ItemStats(np.full(n, START - 86_400), np.zeros(n, np.float32), float(START))
    items = np.repeat(np.arange(n, dtype=np.int32), counts)
    stats.add(items, np.full(len(items), START), np.full(len(items), 2, np.uint8))
    return stats


def places(stats: ItemStats, n: int, at: float = START) -> dict[str, list[int]]:
    rows = stats.rows(np.arange(n, dtype=np.int32), at)
    return {
        name: np.round(np.expm1(rows[:, NAMES.index(name)])).astype(int).tolist()
        for name in ("item_rank_1d", "item_rank_7d")
    }


def test_a_place_is_that_in_the_order_of_popularity_and_ties_go_to_the_lower_position() -> None:
    found = places(many([3, 0, 7, 3, 1]), 5)
    assert found == {"item_rank_1d": [1, RANKED, 0, 2, 3], "item_rank_7d": [1, RANKED, 0, 2, 3]}


def test_places_of_a_day_and_of_a_week_differ_if_interest_is_new() -> None:
    found = places(stats_of([(0, 0, 2)] * 4 + [(1, 6 * 86_400, 2)] * 2), 4, START + 6 * DAY)
    assert found["item_rank_1d"][:2] == [1, 0]
    assert found["item_rank_7d"][:2] == [0, 1]


def test_items_further_back_share_the_last_place_and_ties_at_the_cut_go_to_the_lower_position() -> None:
    n = RANKED + 100
    assert places(many(list(range(n, 0, -1))), n)["item_rank_1d"] == [*range(RANKED), *[RANKED] * 100]
    mixed = [1 + number % 3 for number in range(n)]
    order = sorted(range(n), key=lambda item: (-mixed[item], item))
    expected = {item: min(place, RANKED) for place, item in enumerate(order)}
    assert places(many(mixed), n)["item_rank_7d"] == [expected[item] for item in range(n)]


def test_places_do_not_depend_on_time_without_new_interactions() -> None:
    stats = many([3, 0, 7, 3, 1])
    assert places(stats, 5, START + 300 * DAY) == places(stats, 5)


def test_idle_hours_are_those_since_the_last_interest_and_never_negative() -> None:
    found = by_name(stats_of([(0, 0, 2), (0, 7200, 2), (0, 9000, 0), (1, 10_800, 2)]), START + 9000)
    np.testing.assert_allclose(np.expm1(found["item_idle_hours"]), [0.5, 0, *[30 * 365 * 24.0] * 2], rtol=1e-5)


def test_statistics_continue_at_a_state() -> None:
    before, after = [(0, 0, 2), (1, 50, 4)], [(2, 60, 2), (0, 4 * 365 * 86_400, 3)]
    stats = stats_of(before)
    state = stats.state()
    assert state.last.tolist() == [START, START + 50, NEVER, NEVER]
    restored = ItemStats.restore(np.full(4, START - 86_400), np.array([0, 9, 99, -1], np.float32), state)
    for each in (stats, restored):
        items, seconds, types = (np.array(column) for column in zip(*after, strict=True))
        each.add(items.astype(np.int32), START + seconds, types.astype(np.uint8))
    assert by_name(restored, START + 10**9) == by_name(stats, START + 10**9)
    assert isinstance(state, StatsState)
    assert state.only(np.array([1])).last.tolist() == [START + 50]


def test_a_trend_of_30_days_is_the_share_of_the_last_week_in_the_last_month() -> None:
    found = by_name(stats_of([(0, 0, 2)] * 4 + [(1, 14 * 86_400, 2)] * 4), START + 14 * DAY)
    week, month = 4 * 2.0 ** (-14 / 7), 4 * 2.0 ** (-14 / 30)
    np.testing.assert_allclose(found["item_trend_30d"], [week / (month + 1), 4 / 5, 0, 0], rtol=1e-6)


def test_without_interactions_nothing_is_popular() -> None:
    stats = stats_of([])
    assert len(popular_at(stats, START, 3).items) == 0
    assert by_name(stats, START)["item_popularity_share"] == [0.0] * 4


def test_the_popular_list_of_a_longer_time_remembers_longer() -> None:
    stats = stats_of([(0, 0, 2)] * 5 + [(1, 20 * 86_400, 2)] * 2)
    at = START + 20 * DAY
    assert popular_at(stats, at, 3).items.tolist() == [1, 0]
    assert popular_at(stats, at, 3, LONG_HALF_LIFE_DAYS).items.tolist() == [0, 1]


@settings(deadline=None)  # the first example compiles
@given(INTERACTIONS, st.integers(0, 4), st.sampled_from([0.25, 3.0, 30.0]))
def test_the_popular_list_is_the_head_of_all_by_decayed_count(
    rows: list[tuple[int, int, int]], size: int, half_life_days: float
) -> None:
    stats, at = stats_of(rows), START + 3 * 365 * 86_400
    popularity = stats.popularity(at, half_life_days)
    expected = [item for item in sorted(range(4), key=lambda item: (-popularity[item], item)) if popularity[item] > 0]
    found = popular_at(stats, at, size, half_life_days)
    assert found.items.tolist() == expected[:size]
    assert (found.scores <= 1).all()
    assert not len(found.items) or found.scores[0] == 1.0


def test_the_popular_list_and_places_follow_each_new_interaction_also_over_years() -> None:
    n, rng = RANKED + 200, np.random.default_rng(7)
    created_at, prices = np.full(n, START - 86_400), np.zeros(n, np.float32)
    followed, state = ItemStats(created_at, prices, float(START)), ItemStats(created_at, prices, float(START)).state()
    everything = np.arange(n, dtype=np.int32)
    # The last step moves the origin of the counts.
    for at in (START, START + 3600, START + 2 * 86_400, START + 2 * 365 * 86_400):
        items = (rng.pareto(1.0, 2 * n) * 40 % n).astype(np.int32)
        seconds, types = at - rng.integers(0, 3600, len(items)), np.full(len(items), 2, np.uint8)
        followed.add(items, seconds, types)
        # Restored statistics know nothing of earlier lists.
        fresh = ItemStats.restore(created_at, prices, state)
        fresh.add(items, seconds, types)
        state = fresh.state()
        np.testing.assert_array_equal(followed.rows(everything, at), fresh.rows(everything, at))
        for size in (100, RANKED, n):
            np.testing.assert_array_equal(popular_at(followed, at, size).items, popular_at(fresh, at, size).items)
