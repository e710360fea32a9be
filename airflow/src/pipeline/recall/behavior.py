"""Neighbours by behaviour: EASE while the item-item matrix fits into memory, cosine similarity above that."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.recall.ease import ease
from pipeline.recall.nearest import top_k
from ranking.recall import Neighbours

# 12,000² float32 are 0.6 GB, and the inverse takes about ten seconds on two cores.
MAX_EASE_ITEMS = 12_000
# 500 finds 1-2 % more targets, but its votes rank worse where times mean nothing; elsewhere both are equal.
REGULARISATION = 100.0
LEAST_USERS = 2
_ROWS_PER_BLOCK = 1000


def behavior_neighbours(interest: sparse.csr_array, k: int) -> Neighbours:
    """Return each item's `k` neighbours by common users; items with fewer than two users have none."""
    n = interest.shape[1]
    active = np.flatnonzero(np.bincount(interest.indices, minlength=n) >= LEAST_USERS)
    known = interest[:, active]
    if not len(active):
        return Neighbours(np.full((n, 1), -1, np.int32), np.zeros((n, 1), np.float32))
    if len(active) <= MAX_EASE_ITEMS:
        weights = ease(known, REGULARISATION)
        found = top_k(len(active), len(active), lambda start, stop: weights[start:stop].copy(), k)
    else:
        found = cosine_neighbours(known, k)
    return spread(found, active, n)


def cosine_neighbours(interest: sparse.csr_array, k: int) -> Neighbours:
    """Return each item's `k` neighbours by cosine of their columns, computed block by block."""
    norms = np.sqrt(np.asarray(interest.multiply(interest).sum(axis=0)))
    unit = sparse.csr_array(interest @ sparse.diags_array(1.0 / np.maximum(norms, 1e-9)).astype(np.float32))
    return top_k_of_product(sparse.csr_array(unit.T), unit, k)


def top_k_of_product(left: sparse.csr_array, right: sparse.csr_array, k: int) -> Neighbours:
    """Return the best `k` of each row of the square `left @ right`, without the row's own column, block by block."""
    parts = [
        top_k_of_sparse(sparse.csr_array(left[start : start + _ROWS_PER_BLOCK] @ right), start, k)
        for start in range(0, left.shape[0], _ROWS_PER_BLOCK)
    ]
    return Neighbours(np.concatenate([part.items for part in parts]), np.concatenate([part.scores for part in parts]))


def top_k_of_sparse(similarity: sparse.csr_array, first: int, k: int) -> Neighbours:
    """Return the best `k` of each sparse row, without the row's own column; row 0 is item `first`."""
    rows = similarity.shape[0]
    items = np.full((rows, k), -1, np.int32)
    scores = np.zeros((rows, k), np.float32)
    for row in range(rows):
        start, stop = similarity.indptr[row], similarity.indptr[row + 1]
        columns, values = similarity.indices[start:stop], similarity.data[start:stop]
        other = columns != first + row
        columns, values = columns[other], values[other]
        order = np.lexsort((columns, -values))[:k]
        items[row, : len(order)] = columns[order]
        scores[row, : len(order)] = values[order]
    return Neighbours(items, scores)


def spread(found: Neighbours, active: NDArray[np.int64], n: int) -> Neighbours:
    """Convert rows and columns of the active items to positions of all items."""
    k = found.items.shape[1]
    items = np.full((n, k), -1, np.int32)
    scores = np.zeros((n, k), np.float32)
    items[active] = np.where(found.items >= 0, active[found.items], -1)
    scores[active] = found.scores
    return Neighbours(items, scores)
