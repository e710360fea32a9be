"""A linear ranker: a conditional logit of the taken candidate among the others of its query (McFadden 1974).

It needs far less data than trees. As additive trees, LightGBM can go on from it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pipeline.train.additive_trees import fit_additive_trees

# More change no weight that matters.
_MAX_EXAMPLES = 6000
_MAX_ITERATIONS = 200
_RIDGE = 3e-3
# In deviations from the mean: votes and counts have long tails.
_MOST_DEVIATIONS = 8.0
_MAX_BIN = 255


class LinearModel(NamedTuple):
    """Scores are the sum of the features within `low` to `high`, times `weights`; all of them float64 [features]."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    weights: NDArray[np.float64]

    def scores(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a score per row of [m, features], [m]."""
        found: NDArray[np.float64] = np.clip(matrix, self.low, self.high) @ self.weights
        return found


def fit_linear(examples: Sequence[NDArray[np.float32]]) -> LinearModel:
    """Fit to examples [candidates, features], the taken one last in each."""
    step = -(-len(examples) // _MAX_EXAMPLES)
    chosen = examples[::step]
    matrix = np.concatenate(chosen)
    # A constant feature has the weight 0.
    mean, deviation = matrix.mean(axis=0, dtype=np.float64), np.maximum(matrix.std(axis=0, dtype=np.float64), 1e-6)
    low, high = mean - _MOST_DEVIATIONS * deviation, mean + _MOST_DEVIATIONS * deviation
    scaled = ((np.clip(matrix, low, high) - mean) / deviation).astype(np.float32)
    weights = _fit_logit(scaled, np.array([len(example) for example in chosen]))
    return LinearModel(low, high, weights / deviation)


def trees_of_linear(model: LinearModel, matrix: NDArray[np.float32], names: Sequence[str], seed: int) -> str:
    """Return a LightGBM text with the model's scores, fitted to candidates [m, features]; "" if all are equal."""
    target = model.scores(matrix)
    if np.ptp(target) == 0.0:
        return ""
    directions = {column: int(np.sign(weight)) for column, weight in enumerate(model.weights) if weight != 0.0}
    return fit_additive_trees(matrix, target, directions, names=names, max_bin=_MAX_BIN, seed=seed)


def _fit_logit(scaled: NDArray[np.float32], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weights float64 [features] of the greatest likelihood; the last row of each query is the taken one."""
    ends = np.cumsum(sizes)
    starts, taken = ends - sizes, scaled[ends - 1].sum(axis=0, dtype=np.float64)
    query = np.repeat(np.arange(len(sizes)), sizes)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = (scaled @ weights.astype(np.float32)).astype(np.float64)
        highest = np.maximum.reduceat(scores, starts)
        powers = np.exp(scores - highest[query])
        sums = np.add.reduceat(powers, starts)
        likelihood = (highest + np.log(sums) - scores[ends - 1]).sum()
        expected = scaled.T @ (powers / sums[query]).astype(np.float32)
        penalty = _RIDGE * len(sizes)
        value = (likelihood + penalty * (weights @ weights) / 2) / len(sizes)
        return float(value), (expected - taken + penalty * weights) / len(sizes)

    found = minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": _MAX_ITERATIONS})
    weights: NDArray[np.float64] = found.x
    return weights
