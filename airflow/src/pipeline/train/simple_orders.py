"""Simple orders of the candidates: weighted sums of a few features that the bundle has anyway.

A simple order is served as a ranker's trees, so serving, golden requests and checks know only one way to rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES
from pipeline.train.additive_trees import fit_additive_trees
from pipeline.train.lambdamart import TRAINED_NAMES, TrainSettings

_NAMES = [feature.name for feature in FEATURES]
_WINDOWS = ("1d", "2d", "3d", "7d", "30d", "all")
# Votes about a history, against log counts, which are about 3: those of EASE are about 0.1.
_VOTES = ("history", "recent", "transition")
_BLENDS = (3.0, 10.0, 30.0, 100.0)
# Popularity only decides between equal votes.
_TIE = 10_000.0
# Fine, because only a few features decide.
_MAX_BIN = 4095


@dataclass(frozen=True)
class SimpleOrder:
    """An order by the weighted sum of features."""

    name: str
    weights: Mapping[str, float]

    @property
    def vector(self) -> NDArray[np.float64]:
        """The weights by column, [len(FEATURES)]."""
        found = np.zeros(len(_NAMES))
        found[[_NAMES.index(name) for name in self.weights]] = list(self.weights.values())
        return found

    def scores(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a score per row of a feature matrix, [m]; declared columns play no part."""
        found: NDArray[np.float64] = matrix[:, : len(_NAMES)].astype(np.float64) @ self.vector
        return found


def _popularity(window: str) -> SimpleOrder:
    name = "popularity" if window == "all" else f"popularity_{window}"
    return SimpleOrder(name, {f"item_popularity_{window}": 1.0})


def _blend(vote: str, weight: float, window: str) -> SimpleOrder:
    # The vote about the query's dataset, and the one about the history; one of them is 0 without dataset or history.
    votes = {"vote_behavior": weight, f"vote_{vote}": weight}
    return SimpleOrder(f"{vote}_{weight:g}_popularity_{window}", votes | {f"item_popularity_{window}": 1.0})


SIMPLE_ORDERS = (
    *(_popularity(window) for window in _WINDOWS),
    *(_blend(vote, weight, window) for vote in _VOTES for weight in _BLENDS for window in _WINDOWS),
    *(_blend(vote, _TIE, "all") for vote in _VOTES),
)
_ALL_WEIGHTS = np.column_stack([order.vector for order in SIMPLE_ORDERS])


def scores_by_all(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the scores of a feature matrix by each of `SIMPLE_ORDERS`, [m, orders]."""
    found: NDArray[np.float64] = matrix[:, : len(_NAMES)].astype(np.float64) @ _ALL_WEIGHTS
    return found


def trees_of(order: SimpleOrder, matrix: NDArray[np.float32], settings: TrainSettings) -> str:
    """Return a LightGBM text that ranks as the order does, fitted to candidates [m, trained columns]."""
    columns = [TRAINED_NAMES.index(name) for name in order.weights]
    raw = matrix[:, columns].astype(np.float64) @ np.array(list(order.weights.values()))
    return fit_additive_trees(
        matrix,
        raw,
        dict.fromkeys(columns, 1),
        names=settings.trained_names,
        max_bin=_MAX_BIN,
        seed=settings.seed,
    )
