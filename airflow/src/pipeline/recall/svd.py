"""Truncated SVD of a sparse matrix by random projection (Halko, Martinsson, Tropp 2011)."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_OVERSAMPLING = 10
_ITERATIONS = 4


def item_factors(matrix: sparse.csr_array, rank: int, seed: int) -> NDArray[np.float32]:
    """Return V·√S float32 [columns, ≤ rank] of a sparse `matrix` ≈ U·S·Vᵀ; the same seed gives the same factors."""
    rank = min(rank, *matrix.shape)
    width = min(rank + _OVERSAMPLING, *matrix.shape)
    sketch = np.random.default_rng(seed).normal(size=(matrix.shape[0], width)).astype(np.float32)
    basis, _ = np.linalg.qr(matrix.T @ sketch)
    # Only the side of the columns is made orthonormal: there are ten times as many users, and the factors are the same.
    for _ in range(_ITERATIONS):
        basis, _ = np.linalg.qr(matrix.T @ (matrix @ basis))
    projected = (matrix @ basis).astype(np.float64)
    squares, vectors = np.linalg.eigh(projected.T @ projected)
    values = np.sqrt(np.maximum(squares, 0.0))
    return np.asarray((basis @ (vectors * np.sqrt(values)))[:, : -rank - 1 : -1], np.float32)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row to length 1; rows of (almost) zeros become zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    known = norms > 1e-6
    return np.where(known, vectors / np.where(known, norms, 1.0), 0.0).astype(np.float32)
