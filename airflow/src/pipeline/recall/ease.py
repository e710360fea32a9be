"""EASE (Steck 2019): the item-item model with a closed form, `P = inv(XᵀX + λI)`, `B = -P / diag(P)`."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from pipeline.recall.sparse_rows import GramColumns, fill_gram


def ease(interest: sparse.csr_array, regularisation: float) -> NDArray[np.float32]:
    """Return B float32 [n, n] with a zero diagonal; `interest @ B` scores every item for every user.

    Single precision is enough: the regularisation bounds the condition number.
    """
    n = interest.shape[1]
    gram = np.zeros((n, n), np.float32, order="F")
    fill_gram(GramColumns.of(interest), gram)
    gram[np.diag_indices(n)] += np.float32(regularisation)
    factor, failed = lapack.spotrf(gram, overwrite_a=True)
    if failed:
        raise np.linalg.LinAlgError(f"XᵀX + λI is not positive definite (leading minor {failed})")
    inverse, failed = lapack.spotri(factor, overwrite_c=True)
    if failed:
        raise np.linalg.LinAlgError(f"XᵀX + λI is singular at {failed}")
    # Zeros are below its diagonal.
    diagonal = np.diag(inverse).copy()
    weights: NDArray[np.float32] = inverse + inverse.T
    weights /= -diagonal
    np.fill_diagonal(weights, 0.0)
    return weights
