"""Sparse matrices in compiled loops, and the products of their columns with each other, one column at a time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ranking.jit import compiled


class SparseRows(NamedTuple):
    """A sparse matrix by rows; row i has the entries from `starts[i]` to `starts[i + 1]`, in the order of columns."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, matrix: sparse.csr_array) -> "SparseRows":
        """Return the arrays of a matrix, its own where they fit."""
        matrix = matrix if matrix.has_sorted_indices else matrix.sorted_indices()
        starts, columns, values = matrix.indptr, matrix.indices, matrix.data
        return cls(
            starts.astype(np.int64),
            columns.astype(np.int32, copy=False),
            values.astype(np.float32, copy=False),
        )


class GramColumns(NamedTuple):
    """A matrix by rows, the rows of the entries of each column, and the place in each row that comes next.

    The places move on with each column, so columns can be asked for once and in their order.
    """

    matrix: SparseRows
    by_column: SparseRows
    places: NDArray[np.int64]

    @classmethod
    def of(cls, matrix: sparse.csr_array) -> "GramColumns":
        """Return the columns of a matrix [rows, columns]."""
        by_row = SparseRows.of(matrix)
        return cls(by_row, SparseRows.of(sparse.csr_array(matrix.T)), by_row.starts[:-1].copy())


@compiled
def add_gram_column(columns: GramColumns, column: int, sums: NDArray[np.float32]) -> None:
    """Add the products of a column with itself and with each one before it to the first `column + 1` sums."""
    starts, others, values = columns.matrix
    rows, places = columns.by_column, columns.places
    for entry in range(rows.starts[column], rows.starts[column + 1]):
        row, weight = rows.columns[entry], rows.values[entry]
        for place in range(starts[row], places[row] + 1):
            sums[others[place]] += weight * values[place]
        places[row] += 1


@compiled
def fill_gram(columns: GramColumns, gram: NDArray[np.float32]) -> None:
    """Add the upper half of `matrix.T @ matrix` to zeros [columns, columns] in Fortran's order."""
    for column in range(gram.shape[1]):
        add_gram_column(columns, column, gram[:, column])
