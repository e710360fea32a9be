"""Item features as of a given time: each follows its definition, in whatever order interactions were added."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import InteractionType
from contracts.features import ITEM_FEATURES
from ranking.item_stats import DAY, ItemStats
from ranking.popularity import popular_at

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


@given(INTERACTIONS, st.integers(0, 86_400))
def test_counts_decay_by_their_half_lives_over_years_and_exposures_count_nothing(
    rows: list[tuple[int, int, int]], later: int
) -> None:
    at = START + max(after for _, after, _ in rows) + later
    found = by_name(stats_of(rows), at)
    for item in range(4):
        mine = [(START + after, kind) for i, after, kind in rows if i == item and kind != InteractionType.EXPOSURE]
        for days in (1, 3, 7, 30):
            count = sum(2.0 ** (-(at - ts) / (days * DAY)) for ts, _ in mine)
            np.testing.assert_allclose(found[f"item_popularity_{days}d"][item], np.log1p(count), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found["item_popularity_all"][item], np.log1p(len(mine)), rtol=1e-6)
        bought = sum(kind == InteractionType.PURCHASE for _, kind in mine)
        np.testing.assert_allclose(found["item_purchase_share"][item], (bought + 1) / (len(mine) + 10), rtol=1e-6)


@given(INTERACTIONS, st.integers(2, 5))
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


def test_without_interactions_nothing_is_popular() -> None:
    stats = stats_of([])
    assert len(popular_at(stats, START, 3).items) == 0
    assert by_name(stats, START)["item_popularity_share"] == [0.0] * 4


@given(INTERACTIONS, st.integers(1, 4))
def test_the_popular_list_is_the_head_of_all_by_decayed_count(rows: list[tuple[int, int, int]], size: int) -> None:
    stats, at = stats_of(rows), START + 3 * 365 * 86_400
    popularity = stats.popularity(at)
    expected = [item for item in sorted(range(4), key=lambda item: (-popularity[item], item)) if popularity[item] > 0]
    found = popular_at(stats, at, size)
    assert found.items.tolist() == expected[:size]
    assert (found.scores <= 1).all()
    assert not len(found.items) or found.scores[0] == 1.0
