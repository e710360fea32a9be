"""The popular channel: the popular items at a given time, the same in training and in the bundle."""

import numpy as np

from ranking.item_stats import ItemStats
from ranking.recall import Popular


def popular_at(stats: ItemStats, at: float, size: int) -> Popular:
    """Return the `size` most popular items as of `at` (Unix seconds), scores relative to the first.

    Ties go to the lower position; items with zero popularity are left out.
    """
    popularity = stats.popularity(at)
    if size < len(popularity):
        # Ties at the cut must not depend on the partition's order, so all tied items are sorted.
        cut = np.partition(popularity, len(popularity) - size)[len(popularity) - size]
        pool = np.flatnonzero(popularity >= max(cut, np.finfo(float).tiny))
    else:
        pool = np.flatnonzero(popularity > 0)
    items = pool[np.argsort(-popularity[pool], kind="stable")][:size]
    top = popularity[items[0]] if len(items) else 1.0
    return Popular(items.astype(np.int32), (popularity[items] / top).astype(np.float32))
