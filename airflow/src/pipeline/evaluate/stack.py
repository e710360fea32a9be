"""The stack's answers to test queries: recall, order and diversification as in serving."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.features import CHANNELS
from pipeline.evaluate.metrics import AT, DEEP
from pipeline.evaluate.queries import QuerySet
from pipeline.train.queries import replay_moments
from ranking.diversity import DiversitySettings, choose
from ranking.ranker import Ranker
from ranking.recall import Candidates
from ranking.replay import Knowledge

_QUERIES_PER_BATCH = 200
ANY_CHANNEL = "any"

_Replayed = tuple[Candidates, NDArray[np.float32]]


class StackLists(NamedTuple):
    """`tops` int32 [q, 50] (-1 pads); `recalled` [q, channels + 1]: the share of right answers proposed by each.

    The last column is that of all channels together.
    """

    tops: NDArray[np.int32]
    recalled: NDArray[np.float64]


def rank_stack(
    queries: QuerySet, knowledge: Knowledge, ranker: Ranker, diversity: DiversitySettings, threads: int
) -> StackLists:
    """Answer the queries; the first ten of a list are an answer of ten, and the rest follows in the order of choice."""
    tops = np.full((len(queries), DEEP), -1, np.int32)
    recalled = np.zeros((len(queries), len(CHANNELS) + 1))
    number = 0
    for batch in _batches(queries, knowledge):
        rows = np.concatenate([matrix for _, matrix in batch])
        raw = ranker.scores(rows, threads) if len(rows) else np.empty(0)
        start = 0
        for candidates, matrix in batch:
            scores = raw[start : start + len(matrix)]
            start += len(matrix)
            order = choose(scores, candidates.items, knowledge.items, diversity, DEEP)
            answer = np.sort(order[:AT])
            answer = answer[np.argsort(-scores[answer], kind="stable")]
            found = candidates.items[np.concatenate([answer, order[AT:]])]
            tops[number, : len(found)] = found
            recalled[number] = _recalled(candidates, queries.answers[number])
            number += 1
    return StackLists(tops, recalled)


def _recalled(candidates: Candidates, answers: NDArray[np.int32]) -> NDArray[np.float64]:
    right = np.isin(candidates.items, answers)
    by_channel = (candidates.ranks[right] > 0).sum(axis=0)
    found: NDArray[np.float64] = np.append(by_channel, right.sum()) / len(answers)
    return found


def _batches(queries: QuerySet, knowledge: Knowledge) -> Iterator[list[_Replayed]]:
    batch: list[_Replayed] = []
    for _, candidates, matrix in replay_moments(queries.known, knowledge, queries.moments):
        batch.append((candidates, matrix))
        if len(batch) == _QUERIES_PER_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
