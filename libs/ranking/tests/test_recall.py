"""Recall: each channel proposes the entries of its table, and the union records the channels of each candidate."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.features import CHANNELS
from ranking.engine import Engine, RankingQuery
from ranking.recall import Neighbours, Popular, RecallSettings, RecallTables, _least, recall
from ranking.testing import Size, tiny_contents
from ranking.user import User, default_features

N, K = 12, 4
SIZES = {"behavior": 3, "content": 3, "vector": 3, "history": 5, "popular": 4}


def table(seed: int) -> Neighbours:
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(N)[:K] for _ in range(N)]).astype(np.int32)
    scores = -np.sort(-rng.integers(1, 9, (N, K)).astype(np.float32), axis=1)
    items[scores < 3], scores[scores < 3] = -1, 0
    return Neighbours(items, scores)


TABLES = RecallTables(
    table(1), table(2), table(3), Popular(np.arange(6, dtype=np.int32), np.linspace(1, 0.5, 6, dtype=np.float32))
)
SETTINGS = RecallSettings(channel_sizes=SIZES, seed_items=2)


def user(items: list[int]) -> User:
    # Powers of two, so that sums are exact and ties are ties.
    weights = np.exp2(-np.arange(1, len(items) + 1)).astype(np.float32)
    return User(default_features(), np.array(items, np.int32), weights)


def votes(neighbours: Neighbours, seeds: list[int], weights: list[float], size: int) -> dict[int, float]:
    total: dict[int, float] = {}
    for seed, weight in zip(seeds, weights, strict=True):
        for item, score in zip(neighbours.items[seed].tolist(), neighbours.scores[seed].tolist(), strict=True):
            if item >= 0:
                total[item] = total.get(item, 0.0) + score * weight
    best = sorted(total, key=lambda item: (-np.float32(total[item]), item))[:size]
    return {item: total[item] for item in best}


@settings(deadline=None)  # the first example compiles
@given(
    st.one_of(st.none(), st.integers(0, N - 1)),
    st.lists(st.integers(0, N - 1), max_size=5, unique=True),
    st.lists(st.integers(0, N - 1), max_size=3),
)
def test_each_channel_proposes_its_best_by_votes_and_the_union_is_all_of_them_but_the_known_ones(
    anchor: int | None, items: list[int], seen: list[int]
) -> None:
    asking = user(items)._replace(seen=np.array(seen, np.int32))
    found = recall(TABLES, SETTINGS, anchor=anchor, user=asking)
    weights = asking.weights.tolist()
    seeds = ([anchor], [1.0]) if anchor is not None else (items[:2], weights[:2])
    expected = {
        "behavior": votes(TABLES.behavior, *seeds, SIZES["behavior"]) if anchor is not None else {},
        "content": votes(TABLES.content, *seeds, SIZES["content"]),
        "vector": votes(TABLES.vector, *seeds, SIZES["vector"]),
        "history": votes(TABLES.behavior, items, weights, SIZES["history"]),
        "popular": dict(zip(range(4), TABLES.popular.scores[:4].tolist(), strict=True)),
    }
    left_out = {anchor, *asking.seen.tolist()}
    assert found.items.tolist() == sorted(set().union(*expected.values()) - left_out)
    for column, channel in enumerate(CHANNELS):
        ranked = [
            (item, score, 1 / place)
            for place, (item, score) in enumerate(expected[channel].items(), start=1)
            if item not in left_out
        ]
        proposed = found.ranks[:, column] > 0
        assert found.items[proposed].tolist() == sorted(item for item, _, _ in ranked)
        for item, score, rank in ranked:
            row = np.searchsorted(found.items, item)
            np.testing.assert_allclose(found.scores[row, column], score, rtol=1e-5)
            np.testing.assert_allclose(found.ranks[row, column], rank)


VOTES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 50))


@settings(deadline=None)  # as above
@given(st.sets(VOTES, max_size=200), st.lists(VOTES, max_size=60), st.integers(-1, 300))
def test_the_smallest_keys_are_found_and_sorted(some: set[int], others: list[int], size: int) -> None:
    keys = [*some, *others]
    assert _least(np.array(keys, np.int64), size).tolist() == sorted(keys)[: max(size, 0)]


def test_a_new_user_without_a_dataset_gets_popular_datasets() -> None:
    found = recall(TABLES, SETTINGS, anchor=None, user=User())
    assert found.items.tolist() == [0, 1, 2, 3]
    assert [found.channels(row) for row in range(4)] == [("popular",)] * 4


def test_recalls_at_the_same_time_do_not_affect_each_other() -> None:
    engine = Engine(tiny_contents())
    known = np.arange(50, dtype=np.int32)
    questions = [RankingQuery(anchor, user(known.tolist())._replace(seen=known)) for anchor in range(100)] * 20
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(engine.recall, questions))
    for found, question in zip(together, questions, strict=True):
        np.testing.assert_array_equal(found.scores, engine.recall(question).scores)


def test_a_score_that_is_not_a_number_is_an_error_and_leaves_no_state() -> None:
    contents = tiny_contents(size=Size(60))
    scores = contents.recall.behavior.scores.copy()
    scores[5] = np.nan
    broken = replace(contents.recall, behavior=Neighbours(contents.recall.behavior.items, scores))
    before = recall(contents.recall, contents.recall_settings, anchor=6, user=User())
    with pytest.raises(ValueError, match="not a number"):
        recall(broken, contents.recall_settings, anchor=5, user=User())
    after = recall(contents.recall, contents.recall_settings, anchor=6, user=User())
    assert (before.items.tolist(), before.scores.tolist()) == (after.items.tolist(), after.scores.tolist())
