"""The choice of the order that a bundle serves: the trained ranker, or a simple order if the ranker isn't better.

Half of the users choose the ranker's shape and the best simple order; the other half compare the two, on queries that
the ranker has not seen (`pipeline.train.validation`). If the ranker wins, or simple orders are switched off, it is
trained again on all queries.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline.train.additive_trees import some_rows
from pipeline.train.challengers import Shape, train_shape
from pipeline.train.lambdamart import TrainingError, TrainSettings, trained_columns
from pipeline.train.score_range import put_into_range
from pipeline.train.simple_orders import SIMPLE_ORDERS, trees_of
from pipeline.train.validation import ValidationQueries, ask_rankers, ask_seen, ask_simple_orders
from ranking.bootstrap import intervals

RANKER = "ranker"
# The quarters of the users that choose.
_CHOOSING = (0, 1)
# On fewer queries a ranker is ahead by luck.
_LEAST_COMPARED = 100
# Rows that a simple order is fitted to.
_MAX_ROWS = 50_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """nDCG@10 of the candidates of recall, and `queries`, the number it was measured on.

    The ranker has `trees` boosted trees, on top of a linear model if `linear`. `ranker_seen` is its nDCG@10 on queries
    that it was trained on: far above `ranker`, it is overfitted. The interval is that of `ranker - simple`.
    """

    queries: int
    simple_order: str
    simple: float
    ranker: float
    ranker_seen: float
    low: float
    high: float
    linear: bool
    trees: int

    @property
    def shape(self) -> Shape:
        """The ranker's shape."""
        return Shape(self.linear, self.trees)


class Order(NamedTuple):
    """What ranks: `name` is "ranker" or that of a simple order, `text` LightGBM's."""

    name: str
    text: str
    comparison: Comparison

    def document(self) -> dict[str, Any]:
        """Return all but the text as a document."""
        return {"name": self.name, "comparison": asdict(self.comparison)}


def choose_order(kept: ValidationQueries, settings: TrainSettings) -> Order:
    """Train and compare on the queries; raises `TrainingError`."""
    if not kept.examples:
        raise TrainingError("no training query has its target among the candidates")
    found = _compare(kept, settings)
    _log.info("order: %s", found)
    is_ahead = found.ranker > found.simple and found.queries >= _LEAST_COMPARED
    complete = [trained_columns(query.matrix) for query in kept.complete if len(query.matrix)] or kept.examples
    if is_ahead or not settings.simple_orders:
        text = train_shape(found.shape, kept.examples, settings, kept.graded)
        return Order(RANKER, put_into_range(text, complete) if found.linear else text, found)
    simple = next(order for order in SIMPLE_ORDERS if order.name == found.simple_order)
    text = trees_of(simple, some_rows([*kept.examples, *complete], _MAX_ROWS), settings)
    return Order(simple.name, put_into_range(text, complete), found)


def _compare(kept: ValidationQueries, settings: TrainSettings) -> Comparison:
    asked = kept.are_asked()
    compared = asked & ~kept.are_of(_CHOOSING)
    by_simple = ask_simple_orders(kept)
    simple = int(np.argmax(by_simple[~compared].sum(axis=0)))
    by_ranker, rankers = ask_rankers(kept, settings)
    nothing = Shape(linear=False, trees=settings.trees)
    shape = max(by_ranker, key=lambda shape: by_ranker[shape][asked & ~compared].sum(), default=nothing)
    gains = np.column_stack([by_ranker.get(shape, np.zeros(len(compared))), by_simple[:, simple]])[compared]
    differences = np.column_stack([gains, gains[:, 0] - gains[:, 1]])
    ranker, best, ahead = intervals(differences, kept.users[compared], settings.seed)
    return Comparison(
        queries=len(gains),
        simple_order=SIMPLE_ORDERS[simple].name,
        simple=best.mean,
        ranker=ranker.mean,
        ranker_seen=ask_seen(kept, rankers[shape]) if shape in rankers else 0.0,
        low=ahead.low,
        high=ahead.high,
        linear=shape.linear,
        trees=shape.trees,
    )
