"""SLIT, the transition part of SLIST (Choi et al., WWW 2021): a directed linear model with a closed form.

Each new dataset of a user is one example: a row of S holds the datasets before it, a row of T this one and those
after it, both decayed by rank. `B = (SᵀS + λI)⁻¹ SᵀT` predicts what follows from what came before.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import blas, lapack

from ranking.jit import Fields, compiled

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
    past, following = _weights_by_rank(past_ranks), _weights_by_rank(next_ranks)
    gram = np.zeros((columns, columns), np.float32, order="F")
    # By rows, as queries read it.
    transitions = np.zeros((columns, columns), np.float32)
    _add_examples(user, column, (past, following), gram, transitions)
    gram[np.diag_indices(columns)] += np.float32(regularisation)
    factor, failed = lapack.spotrf(gram, overwrite_a=True, clean=False)
    if failed:
        raise np.linalg.LinAlgError(f"SᵀS + λI is not positive definite (leading minor {failed})")
    # With SᵀS + λI = UᵀU, Bᵀ = (SᵀT)ᵀ U⁻¹ U⁻ᵀ, and the columns of a transposed array are its rows.
    found = transitions.T
    for transposed in (False, True):
        found = blas.strsm(1.0, factor, found, side=True, trans_a=transposed, overwrite_b=True)
    weights: NDArray[np.float32] = found.T
    return weights


def _weights_by_rank(ranks: float) -> NDArray[np.float32]:
    return np.exp(-np.arange(int(-np.log(_LEAST_WEIGHT) * ranks) + 1) / ranks).astype(np.float32)


@compiled
def _add_examples(
    user: NDArray[np.int32],
    column: NDArray[np.int32],
    by_rank: Fields,
    gram: NDArray[np.float32],
    transitions: NDArray[np.float32],
) -> None:
    """Add SᵀS, of which only the upper half is needed, and SᵀT; `by_rank` are the weights of S and of T."""
    past, following = by_rank
    for example in range(len(user)):
        before = after = 0
        while before < min(len(past), example) and user[example - 1 - before] == user[example]:
            before += 1
        while after < min(len(following), len(user) - example) and user[example + after] == user[example]:
            after += 1
        for rank in range(before):
            row, weight = column[example - 1 - rank], past[rank]
            for other in range(rank, before):
                second = column[example - 1 - other]
                gram[min(row, second), max(row, second)] += weight * past[other]
            for other in range(after):
                transitions[row, column[example + other]] += weight * following[other]


def decayed_pairs(
    user: NDArray[np.int32], column: NDArray[np.int32], columns: int, ranks: float, *, first: int
) -> sparse.csr_array:
    """Return [m, columns]: for each pair the user's pairs from distance `first` on, backwards if that is negative."""
    step = -1 if first < 0 else 1
    rows, places, weights = [], [], []
    everyone = np.arange(len(user))
    for rank, weight in enumerate(_weights_by_rank(ranks)):
        other = everyone + first + step * rank
        inside = (other >= 0) & (other < len(user))
        row, other = everyone[inside], other[inside]
        same = user[row] == user[other]
        rows.append(row[same])
        places.append(column[other[same]])
        weights.append(np.full(int(same.sum()), weight))
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(places)))
    return sparse.csr_array(entries, shape=(len(user), columns))
