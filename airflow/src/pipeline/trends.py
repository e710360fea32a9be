"""The trend of datasets when users took them, from which the users' habits are made."""

import numpy as np
from numpy.typing import NDArray

from ranking.item_stats import DAY
from ranking.jit import compiled

_HALF_LIVES_DAYS = np.array([1.0, 7.0])


def trends_before(item: NDArray[np.int32], ts: NDArray[np.int64], created_at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return for interactions in ascending time what their datasets were just before: float32 [m, 3].

    The columns are log1p of the count with a half-life of 1 and of 7 days, and log1p of the age in days. Interactions
    of the same second are not counted. `item` and `ts` [m], `created_at` [n] in Unix seconds.
    """
    return _replay(item, ts, created_at, _HALF_LIVES_DAYS * DAY)


@compiled
def _replay(
    item: NDArray[np.int32], ts: NDArray[np.int64], created_at: NDArray[np.int64], half_lives: NDArray[np.float64]
) -> NDArray[np.float32]:
    windows = len(half_lives)
    counts = np.zeros((len(created_at), windows))
    last = np.zeros(len(created_at), np.int64)
    trends = np.empty((len(item), windows + 1), np.float32)
    start = 0
    for stop in range(1, len(item) + 1):
        if stop < len(item) and ts[stop] == ts[start]:
            continue
        at = ts[start]
        for row in range(start, stop):
            dataset = item[row]
            for window in range(windows):
                decay = np.exp2(-(at - last[dataset]) / half_lives[window])
                trends[row, window] = np.log1p(counts[dataset, window] * decay)
            trends[row, windows] = np.log1p(max(at - created_at[dataset], 0) / DAY)
        for row in range(start, stop):
            dataset = item[row]
            for window in range(windows):
                decay = np.exp2(-(at - last[dataset]) / half_lives[window])
                counts[dataset, window] = counts[dataset, window] * decay + 1.0
            last[dataset] = at
        start = stop
    return trends
