"""The best k columns of each row, in heaps of k: of a matrix, of cosines, and of products of sparse matrices.

A row's own column is left out. Equal scores are in the order of their columns.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.recall.sparse_rows import GramColumns, SparseRows, add_gram_column
from ranking.jit import compiled
from ranking.recall import Neighbours

# A block of 500² float32 stays in the processor's caches. In one of 512², a column would share its cache lines' places.
_ROWS_PER_BLOCK = 500
_LANES = 64


class _Heaps(NamedTuple):
    """For each row its best columns so far, as a heap with the worst one first; [n, k], [n, k] and [n]."""

    scores: NDArray[np.float32]
    items: NDArray[np.int32]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, rows: int, k: int) -> "_Heaps":
        return cls(np.zeros((rows, k), np.float32), np.full((rows, k), -1, np.int32), np.zeros(rows, np.int64))

    def sorted(self) -> Neighbours:
        """Return the best columns first; the heaps are used up."""
        _sort(self)
        return Neighbours(self.items, self.scores)


def top_k(scores: NDArray[np.float32], k: int) -> Neighbours:
    """Return each row's best `k` columns with a score above 0 of a square matrix."""
    n = len(scores)
    heaps = _Heaps.of(n, min(k, n))
    _push_block(np.ascontiguousarray(scores), 0, 0, np.float32(0.0), heaps)
    return heaps.sorted()


def nearest(vectors: NDArray[np.float32], k: int, least: float = 0.0) -> Neighbours:
    """Return each row's nearest others by a cosine above `least`; `vectors` float32 [n, d] of unit (or zero) rows.

    A cosine is computed once for both of its rows.
    """
    n = len(vectors)
    heaps = _Heaps.of(n, min(k, n))
    for first in range(0, n, _ROWS_PER_BLOCK):
        rows = vectors[first : first + _ROWS_PER_BLOCK]
        for other in range(first, n, _ROWS_PER_BLOCK):
            cosines = rows @ vectors[other : other + _ROWS_PER_BLOCK].T
            _push_block(cosines, first, other, np.float32(least), heaps)
            if other > first:
                _push_block(np.ascontiguousarray(cosines.T), other, first, np.float32(least), heaps)
    return heaps.sorted()


def best_of_rows(scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """Return each row's best `k` of all columns with a score above -inf, int32 [rows, k] (-1 pads)."""
    rows = len(scores)
    heaps = _Heaps.of(rows, k)
    # With numbers after those of the rows, no column is a row's own.
    _push_block(np.ascontiguousarray(scores), 0, rows, np.float32(-np.inf), heaps)
    items = heaps.sorted().items
    found: NDArray[np.int32] = np.where(items >= 0, items - np.int32(rows), -1)
    return found


def top_k_of_product(left: sparse.csr_array, right: sparse.csr_array, k: int) -> Neighbours:
    """Return each row's best `k` columns of the square `left @ right`, whose entries are positive."""
    n = left.shape[0]
    heaps = _Heaps.of(n, min(k, n))
    _push_product(SparseRows.of(left), SparseRows.of(right), heaps)
    return heaps.sorted()


def top_k_of_gram(matrix: sparse.csr_array, k: int) -> Neighbours:
    """Return each row's best `k` columns with a value above 0 of `matrix.T @ matrix`."""
    n = matrix.shape[1]
    heaps = _Heaps.of(n, min(k, n))
    _push_gram(GramColumns.of(matrix), heaps)
    return heaps.sorted()


@compiled
def _is_worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    return score < other_score or (score == other_score and item > other_item)


@compiled
def _sift_down(scores: NDArray[np.float32], items: NDArray[np.int32], size: int) -> None:
    """Move the first entry of a heap to its place."""
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _is_worse(scores[child + 1], items[child + 1], scores[child], items[child]):
            child += 1
        if not _is_worse(scores[child], items[child], scores[at], items[at]):
            return
        scores[at], scores[child] = scores[child], scores[at]
        items[at], items[child] = items[child], items[at]
        at = child


@compiled
def _push(scores: NDArray[np.float32], items: NDArray[np.int32], size: int, score: float, item: int) -> int:
    """Add a column to a heap [k] of `size` entries if it is full of worse ones or not full; return its size."""
    if size == len(scores):
        if _is_worse(scores[0], items[0], score, item):
            scores[0], items[0] = score, item
            _sift_down(scores, items, size)
        return size
    at = size
    while at > 0 and _is_worse(score, item, scores[(at - 1) // 2], items[(at - 1) // 2]):
        scores[at], items[at] = scores[(at - 1) // 2], items[(at - 1) // 2]
        at = (at - 1) // 2
    scores[at], items[at] = score, item
    return size + 1


@compiled
def _push_block(
    values: NDArray[np.float32],
    first_row: int,
    first_column: int,
    least: np.float32,
    heaps: _Heaps,
) -> None:
    """Push a block of scores [rows, columns]; the blocks of a row come in the order of their columns.

    So an equal score is worse than those in the heap. Most lanes have nothing better, which one comparison shows.
    """
    scores, items, sizes = heaps.scores, heaps.items, heaps.sizes
    k = scores.shape[1]
    for row in range(values.shape[0]):
        place = first_row + row
        size = sizes[place]
        bar = scores[place, 0] if size == k else least
        for start in range(0, values.shape[1], _LANES):
            stop = min(values.shape[1], start + _LANES)
            is_better = False
            for column in range(start, stop):
                is_better |= values[row, column] > bar
            if not is_better:
                continue
            for column in range(start, stop):
                if values[row, column] > bar and first_column + column != place:
                    size = _push(scores[place], items[place], size, values[row, column], first_column + column)
                    bar = scores[place, 0] if size == k else least
        sizes[place] = size


@compiled
def _push_product(left: SparseRows, right: SparseRows, heaps: _Heaps) -> None:
    """Push the product of two sparse matrices (Gustavson 1978): one row of it is in memory at a time."""
    n = len(heaps.sizes)
    sums = np.zeros(n, np.float32)
    reached = np.empty(n, np.int32)
    reached_by = np.full(n, -1, np.int32)
    for row in range(n):
        count = 0
        for place in range(left.starts[row], left.starts[row + 1]):
            weight, middle = left.values[place], left.columns[place]
            for entry in range(right.starts[middle], right.starts[middle + 1]):
                column = right.columns[entry]
                if reached_by[column] != row:
                    reached_by[column] = row
                    reached[count] = column
                    count += 1
                    sums[column] = 0.0
                sums[column] += weight * right.values[entry]
        size = 0
        for number in range(count):
            column = reached[number]
            if column != row:
                size = _push(heaps.scores[row], heaps.items[row], size, sums[column], column)
        heaps.sizes[row] = size


@compiled
def _push_gram(columns: GramColumns, heaps: _Heaps) -> None:
    """Push each value of the upper half for its row and for its column; so each row gets its columns in their order."""
    scores, items, sizes = heaps.scores, heaps.items, heaps.sizes
    n, k = scores.shape
    values = np.empty(n, np.float32)
    # What a value has to exceed in each row.
    bars = np.zeros(n, np.float32)
    for column in range(n):
        values[: column + 1] = 0.0
        add_gram_column(columns, column, values)
        for start in range(0, column, _LANES):
            stop = min(column, start + _LANES)
            is_better = False
            for row in range(start, stop):
                is_better |= values[row] > min(bars[row], bars[column])
            if not is_better:
                continue
            for row in range(start, stop):
                for place, other in ((row, column), (column, row)):
                    if values[row] > bars[place]:
                        sizes[place] = _push(scores[place], items[place], sizes[place], values[row], other)
                        bars[place] = scores[place, 0] if sizes[place] == k else np.float32(0.0)


@compiled
def _sort(heaps: _Heaps) -> None:
    """Turn each heap into a list with the best entry first: the worst one left goes to the end, again and again."""
    for row in range(len(heaps.sizes)):
        own_scores, own_items = heaps.scores[row], heaps.items[row]
        for last in range(heaps.sizes[row] - 1, 0, -1):
            own_scores[0], own_scores[last] = own_scores[last], own_scores[0]
            own_items[0], own_items[last] = own_items[last], own_items[0]
            _sift_down(own_scores, own_items, last)
