"""Simple orders of the candidates: weighted sums of a few features that the bundle has anyway.

A simple order is served as a ranker's trees, so serving, golden requests and checks know only one way to rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES
from pipeline.train.lambdamart import TRAINED_NAMES

_NAMES = [feature.name for feature in FEATURES]
_WINDOWS = ("1d", "2d", "3d", "7d", "30d", "all")
# Votes about a history, against log counts, which are about 3: those of EASE are about 0.1.
_VOTES = ("history", "recent", "transition")
_BLENDS = (3.0, 10.0, 30.0, 100.0)
# Popularity only decides between equal votes.
_TIE = 10_000.0
_TREES = 100
_LEAVES = 63
# Of candidates: about the best two of ten answers.
_TOP_QUANTILE = 0.999


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
        """Return a score per row of [m, len(FEATURES)], [m]."""
        found: NDArray[np.float64] = matrix.astype(np.float64) @ self.vector
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
    """Return the scores of [m, len(FEATURES)] by each of `SIMPLE_ORDERS`, [m, orders]."""
    found: NDArray[np.float64] = matrix.astype(np.float64) @ _ALL_WEIGHTS
    return found


def trees_of(order: SimpleOrder, matrix: NDArray[np.float32], seed: int) -> str:
    """Return a LightGBM text that ranks as the order does, fitted to candidates [m, len(TRAINED_FEATURES)].

    Each tree splits one feature, so their sum is additive as the order is; and it rises in each feature, so the order
    of candidates that differ in one feature is exact but for ties.
    """
    columns = [TRAINED_NAMES.index(name) for name in order.weights]
    raw = matrix[:, columns].astype(np.float64) @ np.array(list(order.weights.values()))
    # Answers show the logistic of a score, and diversification weighs by it, so the best candidates must differ there.
    # Most votes are about 0: measured in their deviation, the best ones would all be 1.
    middle, top = np.quantile(raw, [0.5, _TOP_QUANTILE])
    target = (raw - middle) / max(float(top - middle), 1e-12) * 4.0 - 2.0
    used = np.zeros_like(matrix)
    used[:, columns] = matrix[:, columns]
    settings = {
        "objective": "regression",
        "num_leaves": _LEAVES,
        "learning_rate": 0.3,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": 0.0,
        "monotone_constraints": [int(name in order.weights) for name in TRAINED_NAMES],
        "interaction_constraints": [[column] for column in columns],
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
        feature_name=TRAINED_NAMES,
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
