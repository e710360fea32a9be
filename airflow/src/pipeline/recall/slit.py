"""SLIT, the transition part of SLIST (Choi et al., WWW 2021): a directed linear model with a closed form.

Each new dataset of a user is one example: a row of S holds the datasets before it, a row of T this one and those
after it, both decayed by rank. `B = (SᵀS + λI)⁻¹ SᵀT` predicts what follows from what came before.
"""

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy import sparse

_COLUMNS_PER_BLOCK = 1000
# Weights below this are left out: they would be most of the entries.
_LEAST_WEIGHT = 1e-3


def slit(
    user: NDArray[np.int32],
    column: NDArray[np.int32],
    columns: int,
    *,
    past_ranks: float,
    next_ranks: float,
    regularisation: float,
) -> NDArray[np.float32]:
    """Return B float32 [columns, columns] of new pairs [m], sorted by user and then by time.

    A weight is exp(-rank / `past_ranks`) before the example and exp(-rank / `next_ranks`) from it on.
    """
    past = decayed_pairs(user, column, columns, past_ranks, first=-1)
    following = decayed_pairs(user, column, columns, next_ranks, first=0)
    gram = _product(past, past)
    gram[np.diag_indices(columns)] += np.float32(regularisation)
    found = scipy.linalg.solve(
        gram, _product(past, following), assume_a="pos", overwrite_a=True, overwrite_b=True, check_finite=False
    )
    return np.asarray(found, np.float32)


def decayed_pairs(
    user: NDArray[np.int32], column: NDArray[np.int32], columns: int, ranks: float, *, first: int
) -> sparse.csr_array:
    """Return [m, columns]: for each pair the user's pairs from distance `first` on, backwards if that is negative."""
    step = -1 if first < 0 else 1
    rows, places, weights = [], [], []
    everyone = np.arange(len(user))
    for rank in range(int(-np.log(_LEAST_WEIGHT) * ranks) + 1):
        other = everyone + first + step * rank
        inside = (other >= 0) & (other < len(user))
        row, other = everyone[inside], other[inside]
        same = user[row] == user[other]
        rows.append(row[same])
        places.append(column[other[same]])
        weights.append(np.full(int(same.sum()), np.exp(-rank / ranks), np.float32))
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(places)))
    return sparse.csr_array(entries, shape=(len(user), columns))


def _product(left: sparse.csr_array, right: sparse.csr_array) -> NDArray[np.float32]:
    """Return leftᵀ · right, block by block: the sparse result of all columns at once would not fit into memory."""
    turned = sparse.csr_array(left.T)
    dense = np.empty((left.shape[1], right.shape[1]), np.float32, order="F")
    for start in range(0, len(dense), _COLUMNS_PER_BLOCK):
        stop = start + _COLUMNS_PER_BLOCK
        dense[start:stop] = (turned[start:stop] @ right).toarray()
    return dense
