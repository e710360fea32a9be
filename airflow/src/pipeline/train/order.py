"""The choice of the order that a bundle serves: the trained ranker, or a simple order if the ranker isn't better.

The users of the training queries are divided into two halves. On the first, the simple orders are compared with one
another, and a ranker is trained. On the second, which neither has seen, that ranker and the best simple order are
compared on the same queries. If the ranker wins, it is trained again on all queries.
"""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.train.lambdamart import TrainingError, TrainSettings, sample_example, train_ranker, trained_columns
from pipeline.train.queries import ReplayedQuery
from pipeline.train.simple_orders import SIMPLE_ORDERS, SimpleOrder, scores_by_all, trees_of
from ranking.bootstrap import intervals
from ranking.ranker import Ranker
from ranking.replay import Kind

RANKER = "ranker"
AT = 10
# For measuring how far the ranker is ahead on the queries that it was trained on.
_MAX_SEEN = 1000
# Enough for a difference of 2 % of nDCG.
_MAX_UNSEEN = 4000
# Rows that a simple order is fitted to.
_MAX_ROWS = 50_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """nDCG@10 of the candidates of recall, and `queries`, the number it was measured on.

    `ranker_seen` is that of the ranker on queries that it was trained on: far above `ranker`, it is overfitted. The
    interval is that of the difference `ranker - simple`.
    """

    queries: int
    simple_order: str
    simple: float
    ranker: float
    ranker_seen: float
    low: float
    high: float


class Order(NamedTuple):
    """What ranks: `name` is "ranker" or that of a simple order, `text` LightGBM's."""

    name: str
    text: str
    comparison: Comparison

    def document(self) -> dict[str, Any]:
        """Return all but the text as a document."""
        return {"name": self.name, "comparison": asdict(self.comparison)}


class _Kept(NamedTuple):
    matrix: NDArray[np.float32]
    target: int
    user: int


def choose_order(
    queries: Iterable[ReplayedQuery], user: NDArray[np.int32], kinds: NDArray[np.uint8], settings: TrainSettings
) -> Order:
    """Train and compare on the queries; `user` and `kinds` [q] are their columns. Raises `TrainingError`."""
    second = _second_half(user, settings.seed)
    rng = np.random.default_rng(settings.seed)
    compared = np.flatnonzero(second & (kinds == Kind.USER))
    if len(compared) > _MAX_UNSEEN:
        compared = rng.choice(compared, _MAX_UNSEEN, replace=False)
    is_compared = np.isin(np.arange(len(user)), compared)
    examples: list[NDArray[np.float32]] = []
    in_first: list[bool] = []
    first_gains: list[NDArray[np.float64]] = []
    seen: list[_Kept] = []
    unseen: list[_Kept] = []
    for number, query in enumerate(queries):
        if (example := sample_example(query, settings, rng)) is not None:
            examples.append(example)
            in_first.append(not second[number])
        if kinds[number] != Kind.USER:
            continue
        found = np.flatnonzero(query.candidates.items == query.target)
        kept = _Kept(query.matrix, int(found[0]) if len(found) else -1, int(user[number]))
        if is_compared[number]:
            unseen.append(kept)
        elif not second[number]:
            first_gains.append(_gains_by_all(kept))
            if len(seen) < _MAX_SEEN:
                seen.append(kept)
    if not examples:
        raise TrainingError("no training query has its target among the candidates")
    means = np.mean(first_gains, axis=0) if first_gains else np.zeros(len(SIMPLE_ORDERS))
    simple = SIMPLE_ORDERS[int(np.argmax(means))]
    rows = _some_rows([*examples, *(trained_columns(kept.matrix) for kept in (*seen, *unseen))])
    simple_text = trees_of(simple, rows, settings.seed)
    halved = [example for example, chosen in zip(examples, in_first, strict=True) if chosen]
    # Without an example to learn from there is no ranker that could be better.
    half_text = train_ranker(halved, settings) if halved else simple_text
    comparison = _compare(simple, (simple_text, half_text), (seen, unseen), settings.seed)
    if comparison.ranker > comparison.simple:
        return Order(RANKER, train_ranker(examples, settings), comparison)
    return Order(simple.name, simple_text, comparison)


def _second_half(user: NDArray[np.int32], seed: int) -> NDArray[np.bool_]:
    """Return which queries are of the second half of the users, [q]."""
    everyone, place = np.unique(user, return_inverse=True)
    half: NDArray[np.bool_] = np.random.default_rng(seed).permutation(len(everyone)) % 2 == 1
    return half[place]


def _compare(
    simple: SimpleOrder, texts: tuple[str, str], queries: tuple[list[_Kept], list[_Kept]], seed: int
) -> Comparison:
    by_simple, by_ranker = (Ranker(text) for text in texts)
    seen, unseen = queries
    gains = np.array([(_gains(by_ranker, kept), _gains(by_simple, kept)) for kept in unseen]).reshape(-1, 2)
    users = np.array([kept.user for kept in unseen], np.int32)
    ranker, best, ahead = intervals(np.column_stack([gains, gains[:, 0] - gains[:, 1]]), users, seed)
    found = Comparison(
        queries=len(unseen),
        simple_order=simple.name,
        simple=best.mean,
        ranker=ranker.mean,
        ranker_seen=float(np.mean([_gains(by_ranker, kept) for kept in seen])) if seen else 0.0,
        low=ahead.low,
        high=ahead.high,
    )
    _log.info(
        "order: ranker %.4f, %s %.4f on %s queries (difference %.4f to %.4f); ranker on its own queries %.4f",
        found.ranker, found.simple_order, found.simple, f"{found.queries:,}", found.low, found.high, found.ranker_seen,
    )  # fmt: skip
    return found


def _gains(ranker: Ranker, kept: _Kept) -> float:
    return _gain(ranker.scores(kept.matrix), kept.target) if kept.target >= 0 else 0.0


def _gain(scores: NDArray[np.float64], target: int) -> float:
    """Return nDCG@10 of one query by the scores of its candidates; ties go to the lower row, as in answers."""
    return float(_gains_of(scores[:, None], target)[0])


def _gains_by_all(kept: _Kept) -> NDArray[np.float64]:
    """Return the same by each of `SIMPLE_ORDERS`."""
    if kept.target < 0:
        return np.zeros(len(SIMPLE_ORDERS))
    return _gains_of(scores_by_all(kept.matrix), kept.target)


def _gains_of(scores: NDArray[np.float64], target: int) -> NDArray[np.float64]:
    better = (scores > scores[target]).sum(axis=0) + (scores[:target] == scores[target]).sum(axis=0)
    return np.where(better < AT, 1.0 / np.log2(better + 2), 0.0)


def _some_rows(matrices: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    step = max(1, sum(len(matrix) for matrix in matrices) // _MAX_ROWS)
    return np.concatenate([matrix[::step] for matrix in matrices])
