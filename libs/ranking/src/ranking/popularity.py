"""The popular channel: what is popular at a moment, in training and in the bundle alike."""

import numpy as np

from ranking.item_stats import ItemStats
from ranking.recall import Popular


def popular_at(stats: ItemStats, at: float, size: int) -> Popular:
    """Return the `size` most popular items as of `at` (Unix seconds), scores relative to the first.

    Equal popularity goes to the lower position; items without any are not popular.
    """
    popularity = stats.popularity(at)
    if size < len(popularity):
        # Ties at the cut must not depend on the partition's order, so all of them take part in the sort.
        cut = np.partition(popularity, len(popularity) - size)[len(popularity) - size]
        pool = np.flatnonzero(popularity >= max(cut, np.finfo(float).tiny))
    else:
        pool = np.flatnonzero(popularity > 0)
    items = pool[np.argsort(-popularity[pool], kind="stable")][:size]
    top = popularity[items[0]] if len(items) else 1.0
    return Popular(items.astype(np.int32), (popularity[items] / top).astype(np.float32))
