"""Recall: each channel proposes the entries of its table, and the union records the channels of each candidate."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.features import CHANNELS, VOTING_CHANNELS
from ranking.engine import Engine, RankingQuery
from ranking.recall import Neighbours, Popular, RecallSettings, RecallTables, _least, recall
from ranking.testing import Size, tiny_contents
from ranking.user import User, default_features

N, K = 12, 4
SIZES = {
    "behavior": 3,
    "content": 3,
    "vector": 3,
    "history": 5,
    "popular": 4,
    "recent": 4,
    "transition": 3,
    "popular_30d": 2,
}


def table(seed: int) -> Neighbours:
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(N)[:K] for _ in range(N)]).astype(np.int32)
    scores = -np.sort(-rng.integers(1, 9, (N, K)).astype(np.float32), axis=1)
    items[scores < 3], scores[scores < 3] = -1, 0
    return Neighbours(items, scores)


TABLES = RecallTables(
    table(1),
    table(2),
    table(3),
    table(4),
    Popular(np.arange(6, dtype=np.int32), np.linspace(1, 0.5, 6, dtype=np.float32)),
    Popular(np.arange(11, 6, -1, dtype=np.int32), np.linspace(1, 0.5, 5, dtype=np.float32)),
)
SETTINGS = RecallSettings(channel_sizes=SIZES, seed_items=2)


def user(items: list[int]) -> User:
    # Powers of two, so that sums are exact and ties are ties. The recent weights end before the others.
    weights = np.exp2(-np.arange(1, len(items) + 1)).astype(np.float32)
    recent = np.exp2(-2 * np.arange(1, len(items[:3]) + 1)).astype(np.float32)
    return User(default_features(), np.array(items, np.int32), weights, recent=recent)


def votes(neighbours: Neighbours, seeds: list[int], weights: list[float]) -> dict[int, float]:
    """Return the sum of each item's votes, best first."""
    total: dict[int, float] = {}
    for seed, weight in zip(seeds, weights, strict=True):
        for item, score in zip(neighbours.items[seed].tolist(), neighbours.scores[seed].tolist(), strict=True):
            if item >= 0:
                total[item] = total.get(item, 0.0) + score * weight
    return {item: total[item] for item in sorted(total, key=lambda item: (-np.float32(total[item]), item))}


def all_votes(anchor: int | None, asking: User) -> dict[str, dict[int, float]]:
    """Return the votes of each channel that has some, by the definitions of `ranking.recall`."""
    items, weights, recent = (array.tolist() for array in (asking.items, asking.weights, asking.recent))
    by_anchor = ([] if anchor is None else [anchor], [] if anchor is None else [1.0])
    seeds = (items[:2], weights[:2]) if anchor is None else by_anchor
    latest = (items[: len(recent)], recent)
    return {
        "behavior": votes(TABLES.behavior, *by_anchor),
        "content": votes(TABLES.content, *seeds),
        "vector": votes(TABLES.vector, *seeds),
        "history": votes(TABLES.behavior, items, weights),
        "recent": votes(TABLES.behavior, *latest),
        "transition": votes(TABLES.transition, *(latest if items else by_anchor)),
    }


def head(values: dict[int, float], size: int) -> dict[int, float]:
    return dict(list(values.items())[:size])


ANCHORS = st.one_of(st.none(), st.integers(0, N - 1))
ITEMS = st.lists(st.integers(0, N - 1), max_size=5, unique=True)
SEEN = st.lists(st.integers(0, N - 1), max_size=3)


@settings(deadline=None)  # the first example compiles
@given(ANCHORS, ITEMS, SEEN)
def test_each_channel_proposes_its_best_by_votes_and_the_union_is_all_of_them_but_the_known_ones(
    anchor: int | None, items: list[int], seen: list[int]
) -> None:
    asking = user(items)._replace(seen=np.array(seen, np.int32))
    found = recall(TABLES, SETTINGS, anchor=anchor, user=asking)
    lists = {"popular": TABLES.popular, "popular_30d": TABLES.popular_30d}
    expected = {channel: head(each, SIZES[channel]) for channel, each in all_votes(anchor, asking).items()}
    for channel, popular in lists.items():
        values = dict(zip(popular.items.tolist(), popular.scores.tolist(), strict=True))
        expected[channel] = head(values, SIZES[channel])
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


@settings(deadline=None)  # as above
@given(ANCHORS, ITEMS, SEEN)
def test_a_candidate_has_all_votes_for_it_whoever_proposes_it(
    anchor: int | None, items: list[int], seen: list[int]
) -> None:
    asking = user(items)._replace(seen=np.array(seen, np.int32))
    found = recall(TABLES, SETTINGS, anchor=anchor, user=asking)
    expected = all_votes(anchor, asking)
    for column, channel in enumerate(VOTING_CHANNELS):
        theirs = [expected[channel].get(item, 0.0) for item in found.items.tolist()]
        np.testing.assert_allclose(found.votes[:, column], theirs, rtol=1e-5)
    assert not np.signbit(found.votes).any()


def test_a_channel_that_does_not_propose_a_candidate_still_gives_its_votes() -> None:
    only_one = RecallSettings(channel_sizes=SIZES | {"content": 1}, seed_items=2)
    found = recall(TABLES, only_one, anchor=3, user=User())
    voted = found.votes[:, VOTING_CHANNELS.index("content")] > 0
    assert (found.ranks[:, CHANNELS.index("content")] > 0).sum() == 1
    assert voted.sum() > 1


def test_votes_are_those_of_the_candidates_that_a_filter_keeps() -> None:
    found = recall(TABLES, SETTINGS, anchor=3, user=user([1, 2]))
    keep = found.items % 2 == 0
    np.testing.assert_array_equal(found.only(keep).votes, found.votes[keep])


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_without_a_size_proposes_nothing_and_gives_no_votes(channel: str) -> None:
    asking = user([1, 2, 5])
    for sizes in ({name: size for name, size in SIZES.items() if name != channel}, SIZES | {channel: 0}):
        found = recall(TABLES, RecallSettings(channel_sizes=sizes, seed_items=2), anchor=3, user=asking)
        everything = recall(TABLES, SETTINGS, anchor=3, user=asking)
        column = CHANNELS.index(channel)
        assert (everything.ranks[:, column] > 0).any()
        assert not found.ranks[:, column].any()
        assert not found.scores[:, column].any()
        if channel in VOTING_CHANNELS:
            assert not found.votes[:, VOTING_CHANNELS.index(channel)].any()
        rows = np.isin(everything.items, found.items)
        others = np.arange(len(CHANNELS)) != column
        np.testing.assert_array_equal(found.scores[:, others], everything.scores[rows][:, others])


def test_what_comes_after_the_dataset_itself_is_proposed_only_without_a_history() -> None:
    column = VOTING_CHANNELS.index("transition")
    without = recall(TABLES, SETTINGS, anchor=3, user=User())
    after = votes(TABLES.transition, [3], [1.0])
    np.testing.assert_allclose(without.votes[:, column], [after.get(item, 0) for item in without.items.tolist()])
    known = recall(TABLES, SETTINGS, anchor=3, user=user([1]))
    after = votes(TABLES.transition, [1], [0.25])
    np.testing.assert_allclose(known.votes[:, column], [after.get(item, 0) for item in known.items.tolist()])


VOTES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 50))


@settings(deadline=None)  # as above
@given(st.sets(VOTES, max_size=200), st.lists(VOTES, max_size=60), st.integers(-1, 300))
def test_the_smallest_keys_are_found_and_sorted(some: set[int], others: list[int], size: int) -> None:
    keys = [*some, *others]
    assert _least(np.array(keys, np.int64), size).tolist() == sorted(keys)[: max(size, 0)]


def test_a_new_user_without_a_dataset_gets_popular_datasets() -> None:
    found = recall(TABLES, SETTINGS, anchor=None, user=User())
    assert found.items.tolist() == [0, 1, 2, 3, 10, 11]
    assert [found.channels(row) for row in range(6)] == [("popular",)] * 4 + [("popular_30d",)] * 2
    assert not found.votes.any()


def test_recalls_at_the_same_time_do_not_affect_each_other() -> None:
    engine = Engine(tiny_contents())
    known = np.arange(50, dtype=np.int32)
    questions = [RankingQuery(anchor, user(known.tolist())._replace(seen=known)) for anchor in range(100)] * 20
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(engine.recall, questions))
    for found, question in zip(together, questions, strict=True):
        alone = engine.recall(question)
        np.testing.assert_array_equal(found.scores, alone.scores)
        np.testing.assert_array_equal(found.votes, alone.votes)


def test_a_score_that_is_not_a_number_is_an_error_and_leaves_no_state() -> None:
    contents = tiny_contents(size=Size(60))
    scores = contents.recall.behavior.scores.copy()
    scores[5] = np.nan
    broken = replace(contents.recall, behavior=Neighbours(contents.recall.behavior.items, scores))
    before = recall(contents.recall, contents.recall_settings, anchor=6, user=User())
    with pytest.raises(ValueError, match="not a number"):
        recall(broken, contents.recall_settings, anchor=5, user=User())
    after = recall(contents.recall, contents.recall_settings, anchor=6, user=User())
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
