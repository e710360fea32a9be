"""Which datasets are in a dense item-item matrix: its memory grows with their square, its time with their cube.

Past `all`, only the `popular` ones are: other pairs have the score of a sparse model.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.recall import Neighbours


class DenseLimits(NamedTuple):
    """The most datasets of which all are in the matrix, and how many of a larger catalogue are."""

    all: int = 12_000
    popular: int = 6_000


DENSE = DenseLimits()


def popular_columns(counts: NDArray[np.int64], limits: DenseLimits) -> NDArray[np.int64]:
    """Return the columns with the largest counts, in ascending order."""
    return np.sort(np.argsort(-counts, kind="stable")[: limits.popular])


def join_neighbours(dense: Neighbours, by_sparse: Neighbours, popular: NDArray[np.int64], k: int) -> Neighbours:
    """Return the best `k` of each row: pairs of popular columns by the dense model, all others by the sparse one.

    Votes of a history add the scores up, so both get the same sum over the rows of the popular columns. If a model has
    none there, the sparse one keeps its scores.
    """
    n = len(dense.items)
    dense_sum, sparse_sum = dense.scores.sum(), float(by_sparse.scores[popular].sum())
    scale = dense_sum / sparse_sum if dense_sum > 0 and sparse_sum > 0 else 1.0
    is_popular = np.zeros(n, np.bool_)
    is_popular[popular] = True
    are_popular = is_popular[:, None] & is_popular[by_sparse.items]
    scores = np.concatenate([dense.scores, np.where(are_popular, 0.0, by_sparse.scores * np.float32(scale))], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(scores, order, axis=1)
    items = np.take_along_axis(np.concatenate([dense.items, by_sparse.items], axis=1), order, axis=1)
    return Neighbours(np.where(scores > 0, items, -1), scores)


def spread(found: Neighbours, columns: NDArray[np.int64], n: int) -> Neighbours:
    """Convert rows and columns of some columns to those of all `n`."""
    k = found.items.shape[1]
    items = np.full((n, k), -1, np.int32)
    scores = np.zeros((n, k), np.float32)
    items[columns] = np.where(found.items >= 0, columns[found.items], -1)
    scores[columns] = found.scores
    return Neighbours(items, scores)
