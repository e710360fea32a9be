"""Neighbours by behaviour: EASE, and past its limit cosine similarity for pairs that are not both popular."""

import numpy as np
from scipy import sparse

from pipeline.recall.dense import DENSE, DenseLimits, join_neighbours, popular_columns, spread
from pipeline.recall.ease import ease
from pipeline.recall.top_k import top_k, top_k_of_gram
from ranking.recall import Neighbours

# 500 finds 1-2 % more targets, but its votes rank worse where times mean nothing; elsewhere both are equal.
REGULARISATION = 100.0
LEAST_USERS = 2


def behavior_neighbours(interest: sparse.csr_array, k: int, limits: DenseLimits = DENSE) -> Neighbours:
    """Return each item's `k` neighbours by common users; items with fewer than two users have none."""
    n = interest.shape[1]
    users = np.bincount(interest.indices, minlength=n)
    active = np.flatnonzero(users >= LEAST_USERS)
    if not len(active):
        return Neighbours(np.full((n, 1), -1, np.int32), np.zeros((n, 1), np.float32))
    known = sparse.csr_array(interest[:, active])
    if len(active) <= limits.all:
        return spread(top_k(ease(known, REGULARISATION), k), active, n)
    popular = popular_columns(users[active], limits)
    dense = top_k(ease(sparse.csr_array(known[:, popular]), REGULARISATION), k)
    joined = join_neighbours(spread(dense, popular, len(active)), cosine_neighbours(known, k), popular, k)
    return spread(joined, active, n)


def cosine_neighbours(interest: sparse.csr_array, k: int) -> Neighbours:
    """Return each item's `k` neighbours by cosine of their columns."""
    norms = np.sqrt(np.asarray(interest.multiply(interest).sum(axis=0)))
    unit = sparse.csr_array(interest @ sparse.diags_array(1.0 / np.maximum(norms, 1e-9)).astype(np.float32))
    return top_k_of_gram(unit, k)
