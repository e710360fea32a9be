"""The queries on which rankers and simple orders are compared, and nDCG@10 of each of them.

The users of the training queries are divided into quarters. With many queries, one ranker is trained on two quarters,
and asked the queries of the others. With few, rankers of several sizes are trained four times on three of them
(cross-validation): every user is asked, and a ranker without half of the data would be far worse than the served one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.train.challengers import Shape, train_on_linear, train_trees
from pipeline.train.graded import GradedExample
from pipeline.train.lambdamart import TrainSettings, sample_example
from pipeline.train.queries import ReplayedQuery
from pipeline.train.simple_orders import SIMPLE_ORDERS, scores_by_all
from ranking.ranker import Ranker
from ranking.replay import Kind

AT = 10
# Up to so many queries, four trainings cost less than one on the most queries.
MAX_CROSS_VALIDATED = 10_000
# For measuring how far the ranker is ahead on the queries that it was trained on.
_MAX_SEEN = 1000
# Enough for a difference of 2 % of nDCG.
_MAX_ASKED = 4000


class Fold(NamedTuple):
    """Quarters of the users whose queries rankers are trained on, and those whose queries they are asked."""

    trained: tuple[int, ...]
    asked: tuple[int, ...]


_ONCE = (Fold((0, 2), (1, 3)),)
_CROSS_VALIDATION = (Fold((1, 2, 3), (0,)), Fold((0, 2, 3), (1,)), Fold((0, 1, 3), (2,)), Fold((0, 1, 2), (3,)))


class CompleteQuery(NamedTuple):
    """A query with all its candidates; `target` is a row, or -1."""

    matrix: NDArray[np.float32]
    target: int
    user: int
    quarter: int

    @classmethod
    def of(cls, query: ReplayedQuery, user: int, quarter: int) -> "CompleteQuery":
        """Return what is needed of a query."""
        place = np.flatnonzero(query.candidates.items == query.target)
        return cls(query.matrix, int(place[0]) if len(place) else -1, user, quarter)


@dataclass(frozen=True)
class ValidationQueries:
    """What is in memory of the queries: an example of each with its quarter, and some with all their candidates.

    `graded` are examples of answers, with the quarters of their users.
    """

    folds: Sequence[Fold]
    examples: list[NDArray[np.float32]] = field(default_factory=list)
    quarters: list[int] = field(default_factory=list)
    complete: list[CompleteQuery] = field(default_factory=list)
    graded: Sequence[GradedExample] = ()
    graded_quarters: Sequence[int] = ()

    @property
    def users(self) -> NDArray[np.int32]:
        """The users of the complete queries."""
        return np.array([query.user for query in self.complete], np.int32)

    def are_of(self, quarters: Sequence[int]) -> NDArray[np.bool_]:
        """Return which complete queries are of some quarters."""
        return np.isin([query.quarter for query in self.complete], quarters)

    def are_asked(self) -> NDArray[np.bool_]:
        """Return which complete queries a ranker is asked that has not seen their users."""
        return self.are_of([quarter for fold in self.folds for quarter in fold.asked])

    def examples_of(self, quarters: Sequence[int]) -> list[NDArray[np.float32]]:
        """Return the examples of some quarters."""
        return [example for example, quarter in zip(self.examples, self.quarters, strict=True) if quarter in quarters]

    def graded_of(self, quarters: Sequence[int]) -> list[GradedExample]:
        """Return the graded examples of some quarters."""
        found = zip(self.graded, self.graded_quarters, strict=True)
        return [example for example, quarter in found if quarter in quarters]


def keep_queries(
    queries: Iterable[ReplayedQuery],
    user: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    settings: TrainSettings,
    graded: Sequence[GradedExample] = (),
) -> ValidationQueries:
    """Return what is needed of the queries and graded examples; `user` and `kinds` [q] are columns of the queries."""
    of_graded = np.array([example.user for example in graded], np.int32)
    quarter = _quarters(np.concatenate([user, of_graded]), settings.seed)
    kept = ValidationQueries(
        _CROSS_VALIDATION if len(user) <= MAX_CROSS_VALIDATED else _ONCE,
        graded=graded,
        graded_quarters=quarter[len(user) :].tolist(),
    )
    rng = np.random.default_rng(settings.seed)
    quarter = quarter[: len(user)]
    asked = np.isin(quarter, [number for fold in kept.folds for number in fold.asked])
    complete = np.zeros(len(user), np.bool_)
    for mask, most in ((asked, _MAX_ASKED), (~asked, _MAX_SEEN)):
        rows = np.flatnonzero(mask & (kinds == Kind.USER))
        complete[rows if len(rows) <= most else rng.choice(rows, most, replace=False)] = True
    for number, query in enumerate(queries):
        if (example := sample_example(query, settings, rng)) is not None:
            kept.examples.append(example)
            kept.quarters.append(int(quarter[number]))
        if complete[number]:
            kept.complete.append(CompleteQuery.of(query, int(user[number]), int(quarter[number])))
    return kept


def _quarters(user: NDArray[np.int32], seed: int) -> NDArray[np.int64]:
    """Return the quarter of the users that each query is of, 0 to 3, [q]."""
    everyone, place = np.unique(user, return_inverse=True)
    quarter: NDArray[np.int64] = np.random.default_rng(seed).permutation(len(everyone)) % len(_CROSS_VALIDATION)
    return quarter[place]


def ask_simple_orders(kept: ValidationQueries) -> NDArray[np.float64]:
    """Return nDCG@10 of each complete query by each of `SIMPLE_ORDERS`, [complete, orders]."""
    gains = [
        _gains_of(scores_by_all(query.matrix), query.target) if query.target >= 0 else np.zeros(len(SIMPLE_ORDERS))
        for query in kept.complete
    ]
    return np.array(gains).reshape(-1, len(SIMPLE_ORDERS))


class AskedRankers(NamedTuple):
    """By shape: nDCG@10 [complete] of rankers that have not seen the user, 0 where none was asked; the first ranker."""

    unseen: dict[Shape, NDArray[np.float64]]
    first: dict[Shape, Ranker]


def ask_rankers(kept: ValidationQueries, settings: TrainSettings) -> AskedRankers:
    """Train the shapes on each fold and ask them; there are none if a fold has nothing to learn from."""
    examples = [kept.examples_of(fold.trained) for fold in kept.folds]
    found = AskedRankers({}, {})
    if not all(examples):
        return found
    train = train_on_linear if kept.folds is _CROSS_VALIDATION else train_trees
    graded = [kept.graded_of(fold.trained) for fold in kept.folds]
    trained = [train(each, settings, answers) for each, answers in zip(examples, graded, strict=True)]
    asked = [np.flatnonzero(kept.are_of(fold.asked)) for fold in kept.folds]
    for shape in trained[0]:
        if not all(shape in texts for texts in trained):
            continue
        rankers = [Ranker(texts[shape], settings.own_features) for texts in trained]
        gains = found.unseen[shape] = np.zeros(len(kept.complete))
        for numbers, ranker in zip(asked, rankers, strict=True):
            gains[numbers] = gains_by(ranker, [kept.complete[number] for number in numbers])
        found.first[shape] = rankers[0]
    return found


def ask_seen(kept: ValidationQueries, first: Ranker) -> float:
    """Return the mean nDCG@10 of the first fold's ranker on queries that it was trained on."""
    seen = np.flatnonzero(kept.are_of(kept.folds[0].trained))[:_MAX_SEEN]
    return float(np.mean(gains_by(first, [kept.complete[number] for number in seen]) or [0.0]))


def gains_by(ranker: Ranker, queries: Sequence[CompleteQuery]) -> list[float]:
    """Return nDCG@10 of each query by a ranker; 0 where the target is not among the candidates."""
    return [
        float(_gains_of(ranker.scores(query.matrix)[:, None], query.target)[0]) if query.target >= 0 else 0.0
        for query in queries
    ]


def _gains_of(scores: NDArray[np.float64], target: int) -> NDArray[np.float64]:
    """Return nDCG@10 of one query by each column of scores [m, orders]; ties go to the lower row, as in answers."""
    better = (scores > scores[target]).sum(axis=0) + (scores[:target] == scores[target]).sum(axis=0)
    return np.where(better < AT, 1.0 / np.log2(better + 2), 0.0)
