"""Popularity decayed to the moment of each query."""

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.queries import QuerySet
from ranking.item_stats import DAY


class DecayedCounts:
    """The users of each dataset before a moment, each halved every `half_life_days` since; queries ascend in time."""

    def __init__(self, queries: QuerySet, columns: NDArray[np.int64], half_life_days: float) -> None:
        """Start before the first interaction."""
        known = queries.known
        rows = known.first_of_pair
        place = np.full(len(known.catalogue), -1, np.int64)
        place[columns] = np.arange(len(columns))
        inside = place[known.item[rows]] >= 0
        self._item, self._ts = place[known.item[rows[inside]]], known.ts[rows[inside]]
        self._at = queries.moments.at
        self._half_life = half_life_days * DAY
        self._counts = np.zeros(len(columns))
        self._time = int(self._ts[0]) if len(self._ts) else 0
        self._added = self._asked = 0

    def until(self, stop: int) -> NDArray[np.float32]:
        """Return the counts [b, columns] of the next queries, up to number `stop`."""
        counts = np.empty((stop - self._asked, len(self._counts)), np.float32)
        for row, at in enumerate(self._at[self._asked : stop].tolist()):
            # Times before the first interaction leave the counts at zero.
            self._counts *= 2.0 ** (-max(at - self._time, 0) / self._half_life)
            self._time = max(at, self._time)
            until = int(np.searchsorted(self._ts, at))
            added = slice(self._added, until)
            np.add.at(self._counts, self._item[added], 2.0 ** (-(at - self._ts[added]) / self._half_life))
            self._added = until
            counts[row] = self._counts
        self._asked = stop
        return counts
