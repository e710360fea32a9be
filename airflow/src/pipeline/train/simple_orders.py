"""Simple orders of the candidates: weighted sums of a few features that the bundle has anyway.

A simple order is served as a ranker's trees, so serving, golden requests and checks know only one way to rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES

_NAMES = [feature.name for feature in FEATURES]
_COUNTS = ("1d", "3d", "7d", "30d", "all")
# Votes of the behaviour neighbours (EASE), which are about 0.1, against log counts, which are about 3.
_BLENDS = (3.0, 10.0, 30.0, 100.0)
_TREES = 100
_LEAVES = 63


@dataclass(frozen=True)
class SimpleOrder:
    """An order by the weighted sum of features."""

    name: str
    weights: Mapping[str, float]

    @property
    def columns(self) -> list[int]:
        """The columns of the features."""
        return [_NAMES.index(name) for name in self.weights]

    def scores(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a score per row, [m]."""
        found: NDArray[np.float64] = matrix[:, self.columns].astype(np.float64) @ np.array(list(self.weights.values()))
        return found


def _popularity(window: str) -> SimpleOrder:
    name = "popularity" if window == "all" else f"popularity_{window}"
    return SimpleOrder(name, {f"item_popularity_{window}": 1.0})


def _behavior(weight: float, window: str) -> SimpleOrder:
    # The vote about the query's dataset, and the one about the history; one of them is 0 without dataset or history.
    votes = {"score_behavior": weight, "score_history": weight}
    return SimpleOrder(f"behavior_{weight:g}_popularity_{window}", votes | {f"item_popularity_{window}": 1.0})


SIMPLE_ORDERS = (
    *(_popularity(window) for window in _COUNTS),
    *(_behavior(weight, window) for weight in _BLENDS for window in _COUNTS),
    # Popularity only decides between equal votes.
    _behavior(10_000.0, "all"),
)


def trees_of(order: SimpleOrder, matrix: NDArray[np.float32], seed: int) -> str:
    """Return a LightGBM text that ranks as the order does, fitted to candidates [m, len(FEATURES)].

    Each tree splits one feature, so their sum is additive as the order is; and it rises in each feature, so the order
    of candidates that differ in one feature is exact but for ties.
    """
    raw = order.scores(matrix)
    # Answers show the logistic of a score, and diversification weighs by it: the scale is that of a trained ranker.
    target = (raw - np.median(raw)) / max(float(raw.std()), 1e-12) * 2.0
    used = np.zeros_like(matrix)
    used[:, order.columns] = matrix[:, order.columns]
    settings = {
        "objective": "regression",
        "num_leaves": _LEAVES,
        "learning_rate": 0.3,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": 0.0,
        "monotone_constraints": [int(name in order.weights) for name in _NAMES],
        "interaction_constraints": [[column] for column in order.columns],
        "use_missing": False,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    data = lgb.Dataset(
        used,
        target,
        feature_name=_NAMES,
        params={
            "use_missing": False,
            "verbosity": -1,
            "num_threads": 1,
            "max_bin": 4095,
            "min_data_in_bin": 1,
            "feature_pre_filter": False,
        },
    )
    return str(lgb.train(settings, data, num_boost_round=_TREES).model_to_string())
