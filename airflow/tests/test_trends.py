"""The trends of datasets, from which habits are made: those of the item features just before each interaction."""

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.features import ITEM_FEATURES
from pipeline.records import Records
from pipeline.trends import trends_before
from ranking.item_stats import DAY, ItemStats

_NAMES = [feature.name for feature in ITEM_FEATURES]
_COLUMNS = [_NAMES.index(name) for name in ("item_popularity_1d", "item_popularity_7d", "item_age_days")]
_START = 1_760_000_000


class Interactions(NamedTuple):
    """Interactions in ascending time; `item` and `ts` [m], `created_at` [n]."""

    item: NDArray[np.int32]
    ts: NDArray[np.int64]
    created_at: NDArray[np.int64]


@st.composite
def some_interactions(draw: st.DrawFn) -> Interactions:
    """Few datasets and gaps that are often 0, so that interactions share datasets and seconds."""
    datasets = draw(st.integers(1, 4))
    rows = draw(st.lists(st.tuples(st.integers(0, datasets - 1), st.sampled_from([0, 0, 1, 3600, 200_000]))))
    ages = draw(st.lists(st.integers(-10, 1000), min_size=datasets, max_size=datasets))
    return Interactions(
        np.array([item for item, _ in rows], np.int32),
        _START + np.cumsum([gap for _, gap in rows]).astype(np.int64),
        _START - np.array(ages, np.int64) * 3600,
    )


# The first example waits for the compiler.
@settings(deadline=None)
@given(some_interactions())
def test_a_trend_is_the_decayed_count_of_earlier_interactions_and_the_age(some: Interactions) -> None:
    expected = np.zeros((len(some.item), 3))
    for row, (item, at) in enumerate(zip(some.item, some.ts, strict=True)):
        ages = at - some.ts[(some.item == item) & (some.ts < at)]
        for column, half_life in enumerate((1.0, 7.0)):
            expected[row, column] = np.log1p((0.5 ** (ages / (half_life * DAY))).sum())
        expected[row, 2] = np.log1p(max(at - some.created_at[item], 0) / DAY)
    np.testing.assert_allclose(trends_before(*some), expected, rtol=1e-5, atol=1e-7)


def test_trends_are_the_item_features_just_before_each_interaction(records: Records) -> None:
    """A gap between a candidate and a user's habits compares values of one definition."""
    stats = ItemStats(records.created_at, records.prices, float(records.start))
    done = 0
    for row in range(0, 3000, 7):
        at = records.ts[row]
        before = int(np.searchsorted(records.ts, at))
        added = slice(done, before)
        stats.add(records.item[added], records.ts[added], records.types[added])
        done = before
        expected = stats.rows(records.item[row : row + 1], float(at))[0, _COLUMNS]
        np.testing.assert_allclose(records.trends[row], expected, rtol=1e-5, atol=1e-7)
    assert records.trends[:, 0].max() > 1
