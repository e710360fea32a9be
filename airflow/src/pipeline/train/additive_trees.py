"""LightGBM trees that rank as a sum of one function per feature."""

from collections.abc import Mapping, Sequence

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

_TREES = 100
_LEAVES = 63
_LEARNING_RATE = 0.3


def fit_additive_trees(
    matrix: NDArray[np.float32],
    target: NDArray[np.float64],
    directions: Mapping[int, int],
    *,
    names: Sequence[str],
    max_bin: int,
    seed: int,
) -> str:
    """Return a LightGBM text of `names` that is fitted to `target` [m] by columns of [m, len(names)].

    `directions` names the columns of the sum, and whether it rises (1) or falls (-1) with each. Each tree splits one
    of them, so the trees' sum is additive, too. Candidates that differ in one column are in exact order but for ties.
    """
    columns = list(directions)
    used = np.zeros_like(matrix)
    used[:, columns] = matrix[:, columns]
    settings = {
        "objective": "regression",
        "num_leaves": _LEAVES,
        "learning_rate": _LEARNING_RATE,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": 0.0,
        "monotone_constraints": [directions.get(column, 0) for column in range(len(names))],
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
        feature_name=list(names),
        params={
            "use_missing": False,
            "verbosity": -1,
            "num_threads": 1,
            "max_bin": max_bin,
            "min_data_in_bin": 1,
            "feature_pre_filter": False,
        },
    )
    return str(lgb.train(settings, data, num_boost_round=_TREES).model_to_string())


def some_rows(matrices: Sequence[NDArray[np.float32]], most: int) -> NDArray[np.float32]:
    """Return about `most` rows of all matrices together, the same share of each."""
    step = max(1, sum(len(matrix) for matrix in matrices) // most)
    return np.concatenate([matrix[::step] for matrix in matrices])
