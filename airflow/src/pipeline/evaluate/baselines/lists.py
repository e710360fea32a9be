"""The best columns of each row."""

import numpy as np
from numpy.typing import NDArray

DEPTH = 50
_LOW = 0xFFFFFFFF


def best_columns(scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """Return the columns of each row's `k` highest scores, descending, int32 [b, k] (-1 pads).

    Ties go to the lower column; -inf is not ranked.
    """
    rows, columns = scores.shape
    found = np.full((rows, k), -1, np.int32)
    k = min(k, columns)
    # A float's bits, read as an integer, have the float's order (for negative ones the other bits are inverted);
    # adding 0 turns -0.0 into 0.0. One integer of score and column makes every tie explicit.
    bits = (scores + np.float32(0)).view(np.int32)
    ordered = np.where(bits >= 0, bits, bits ^ 0x7FFFFFFF).astype(np.int64)
    keys = (ordered << 32) | (_LOW - np.arange(columns))
    best = np.partition(keys, columns - k, axis=1)[:, columns - k :]
    best = -np.sort(-best, axis=1)
    lowest = np.int64(np.float32(-np.inf).view(np.int32) ^ 0x7FFFFFFF)
    found[:, :k] = np.where(best >> 32 > lowest, _LOW - (best & _LOW), -1)
    return found
