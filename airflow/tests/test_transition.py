"""Transitions: what users took after a dataset, and not what they took before it."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.recall.dense import DENSE, DenseLimits
from pipeline.recall.slit import decayed_pairs, slit
from pipeline.recall.transition import (
    NEXT_RANKS,
    PAST_RANKS,
    REGULARISATION,
    counted_transitions,
    new_pairs,
    transition_neighbours,
)
from pipeline.records import Records
from ranking.recall import Neighbours

RING = 12
LENGTH = 4
# As of a catalogue that fits into a matrix, and as of a large one.
WAYS = pytest.mark.parametrize("limits", [DENSE, DenseLimits(all=5, popular=4)], ids=["SLIT", "SLIT and counted"])


def sequences(records: Records, *taken: list[int]) -> Records:
    """Return the records of users who took these datasets, one after the other."""
    user = np.repeat(np.arange(len(taken)), [len(each) for each in taken])
    step = np.concatenate([np.arange(len(each)) for each in taken])
    order = np.lexsort((user, step))
    return replace(
        records.with_datasets(np.arange(RING + 2)),
        user=user[order].astype(np.int32),
        item=np.concatenate(taken)[order].astype(np.int32),
        ts=1_760_000_000 + 3600 * step[order].astype(np.int64),
        types=np.full(len(user), 2, np.uint8),
    )


def in_order(records: Records) -> Records:
    """Users took some neighbouring datasets of a ring in its order; each dataset is the first of as many users."""
    return sequences(records, *([(number + step) % RING for step in range(LENGTH)] for number in range(4 * RING)))


def scores_of(found: Neighbours, n: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the scores as a matrix, 0 where there is none."""
    dense = np.zeros((n, n))
    for item in range(n):
        near = found.items[item] >= 0
        dense[item, found.items[item][near]] = found.scores[item][near]
    return dense


@WAYS
def test_transitions_point_forward_in_time_and_not_back(records: Records, limits: DenseLimits) -> None:
    found = transition_neighbours(in_order(records), RING, 42, limits)
    scores = scores_of(found, RING + 2)
    for item in range(RING):
        after = (item + np.arange(1, LENGTH)) % RING
        before = (item - np.arange(1, LENGTH)) % RING
        assert {*found.items[item, : LENGTH - 1].tolist()} == {*after.tolist()}
        assert (scores[item, before] <= 0.01 * scores[item, after].min()).all()


def test_weights_solve_the_equation_of_slit() -> None:
    rng = np.random.default_rng(7)
    # Each of 60 users takes five of eight datasets.
    user = np.repeat(np.arange(60, dtype=np.int32), 5)
    column = np.concatenate([rng.permutation(8)[:5] for _ in range(60)]).astype(np.int32)
    found = slit(user, column, 8, past_ranks=PAST_RANKS, next_ranks=NEXT_RANKS, regularisation=1.0)
    past, following = (
        decayed_pairs(user, column, 8, PAST_RANKS, first=-1),
        decayed_pairs(user, column, 8, NEXT_RANKS, first=0),
    )
    gram = (past.T @ past).toarray() + np.eye(8)
    np.testing.assert_allclose(found, np.linalg.solve(gram, (past.T @ following).toarray()), rtol=1e-3, atol=1e-4)


@WAYS
def test_reversed_sequences_have_reversed_transitions(records: Records, limits: DenseLimits) -> None:
    forward = in_order(records)
    back = replace(forward, ts=2 * forward.ts[-1] - forward.ts[::-1], user=forward.user[::-1], item=forward.item[::-1])
    found = transition_neighbours(back, RING, 42, limits)
    for item in range(RING):
        assert {*found.items[item, : LENGTH - 1].tolist()} == {(item - step) % RING for step in range(1, LENGTH)}


@WAYS
def test_datasets_of_fewer_than_two_users_have_no_transitions_and_are_none(
    records: Records, limits: DenseLimits
) -> None:
    once = sequences(records, *([*range(6)] for _ in range(20)), [0, RING, 1])
    found = transition_neighbours(once, 8, 42, limits)
    assert (found.items[[RING, RING + 1]] == -1).all()
    assert not np.isin([RING, RING + 1], found.items).any()
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_without_two_users_of_any_dataset_there_are_no_transitions(records: Records) -> None:
    found = transition_neighbours(sequences(records, [0, 1, 2]), 5, 42)
    assert len(found.items) == RING + 2
    assert (found.items == -1).all()


def test_counted_transitions_are_decayed_counts_relative_to_how_often_both_occur(records: Records) -> None:
    rng = np.random.default_rng(5)
    taken = [rng.permutation(9)[:6].tolist() for _ in range(50)]
    n = RING + 2
    past, following, both = np.zeros(n), np.zeros(n), np.zeros((n, n))
    for sequence in taken:
        for place in range(len(sequence)):
            before = {item: np.exp(-rank / PAST_RANKS) for rank, item in enumerate(sequence[:place][::-1])}
            after = {item: np.exp(-rank / NEXT_RANKS) for rank, item in enumerate(sequence[place:])}
            for item, weight in before.items():
                past[item] += weight
                for other, next_weight in after.items():
                    both[item, other] += weight * next_weight
            for item, weight in after.items():
                following[item] += weight
    expected = both / np.sqrt(np.maximum(np.outer(past, following), 1e-9))
    np.fill_diagonal(expected, 0)
    found = counted_transitions(*new_pairs(sequences(records, *taken), 42), n, n)
    np.testing.assert_allclose(scores_of(found, n), expected, rtol=1e-4)


def test_past_the_limit_pairs_of_the_most_popular_have_the_weights_of_slit(records: Records) -> None:
    rng = np.random.default_rng(6)
    taken = [rng.choice(9, 6, replace=False, p=np.arange(1, 10) / 45).tolist() for _ in range(60)]
    known = sequences(records, *taken)
    found = scores_of(transition_neighbours(known, RING, 42, DenseLimits(all=8, popular=4)), RING + 2)
    user, item = new_pairs(known, 42)
    popular = np.sort(np.argsort(-np.bincount(item), kind="stable")[:4])
    of_popular = np.isin(item, popular)
    column = np.searchsorted(popular, item[of_popular]).astype(np.int32)
    weights = slit(
        user[of_popular],
        column,
        4,
        past_ranks=PAST_RANKS,
        next_ranks=NEXT_RANKS,
        regularisation=REGULARISATION,
    )
    expected = np.maximum(weights, 0) * (1 - np.eye(4))
    np.testing.assert_allclose(found[np.ix_(popular, popular)], expected, rtol=1e-4, atol=1e-7)
    assert np.count_nonzero(found) > np.count_nonzero(expected)


def test_pairs_are_each_users_first_ones_in_the_order_of_time(records: Records) -> None:
    user, item = new_pairs(records, 42)
    expected: list[tuple[int, int]] = []
    for number in range(len(records.user_ids)):
        first = dict.fromkeys(records.item[records.rows_of(number)].tolist())
        expected += [(number, each) for each in first]
    times = {}
    for row in records.first_of_pair.tolist():
        times[int(records.user[row]), int(records.item[row])] = int(records.ts[row])
    found = [*zip(user.tolist(), item.tolist(), strict=True)]
    assert sorted(found) == sorted(expected)
    assert [(pair[0], times[pair]) for pair in found] == sorted((pair[0], times[pair]) for pair in found)


def test_of_datasets_of_one_second_the_seed_decides_which_is_first(records: Records) -> None:
    equal = replace(records, ts=np.full_like(records.ts, 1_760_000_000))
    first, again, other = (new_pairs(equal, seed)[1] for seed in (42, 42, 1))
    np.testing.assert_array_equal(first, again)
    assert (first == other).mean() < 0.5
