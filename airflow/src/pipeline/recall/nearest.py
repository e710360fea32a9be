"""The best k columns of each row, in blocks that fit in memory."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ranking.recall import Neighbours

_CELLS_PER_BLOCK = 20_000_000

Block = Callable[[int, int], NDArray[np.float32]]


def top_k(rows: int, columns: int, block: Block, k: int, least: float = 0.0) -> Neighbours:
    """Return each row's best `k` columns with a score above `least`; `block(start, stop)` gives scores [stop-start, n].

    A row's own column is left out. Equal scores are in the order of their columns.
    """
    k = min(k, columns)
    items = np.full((rows, k), -1, np.int32)
    scores = np.zeros((rows, k), np.float32)
    step = max(1, _CELLS_PER_BLOCK // max(1, columns))
    for start in range(0, rows, step):
        stop = min(rows, start + step)
        values = block(start, stop)
        values[np.arange(stop - start), np.arange(start, stop)] = -np.inf
        chosen = (
            np.argpartition(-values, k - 1, axis=1)[:, :k] if k < columns else np.tile(np.arange(k), (stop - start, 1))
        )
        chosen.sort(axis=1)
        found = np.take_along_axis(values, chosen, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        found = np.take_along_axis(found, order, axis=1)
        near = found > least
        items[start:stop] = np.where(near, np.take_along_axis(chosen, order, axis=1), -1)
        scores[start:stop] = np.where(near, found, 0.0)
    return Neighbours(items, scores)


def nearest(vectors: NDArray[np.float32], k: int, least: float = 0.0) -> Neighbours:
    """Return each row's nearest others by cosine; `vectors` float32 [n, d] of unit (or zero) rows."""
    n = len(vectors)
    return top_k(n, n, lambda start, stop: vectors[start:stop] @ vectors.T, k, least)
