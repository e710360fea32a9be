"""The popular channel: the popular items at a given time, the same in training and in the bundle."""

import numpy as np

from ranking.item_stats import ItemStats
from ranking.recall import Popular

# Of the channel popular_30d.
LONG_HALF_LIFE_DAYS = 30.0


def popular_at(stats: ItemStats, at: float, size: int, half_life_days: float = 3.0) -> Popular:
    """Return the `size` most popular items as of `at` (Unix seconds), scores relative to the first.

    Ties go to the lower position; items with zero popularity are left out.
    """
    items, counts = stats.most_popular(at, size, half_life_days)
    top = counts[0] if len(counts) else 1.0
    return Popular(items.astype(np.int32), (counts / top).astype(np.float32))
