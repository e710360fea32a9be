"""Item features as of a given time: exponentially decayed interaction counts, age and price."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from contracts.events import InteractionType
from contracts.features import ITEM_FEATURES

DAY = 86_400.0
HALF_LIVES_DAYS = np.array([1.0, 3.0, 7.0, 30.0, 0.25, 0.5, 2.0])
_1D, _3D, _7D, _30D, _6H, _12H, _2D = range(len(HALF_LIVES_DAYS))
_SHORTEST = float(HALF_LIVES_DAYS.min()) * DAY
HOUR = 3600.0
# Places in the order of popularity; all datasets further back share the next one.
RANKED = 500
# Idle time of a dataset without interactions: longer than any data.
_LONG_AGO = 30 * 365 * DAY
# The time of its last one, so long before 1970. A finite number, because evaluation parts reject others.
NEVER = -_LONG_AGO
# Counts are scaled to a moving origin; 2**500 leaves room to both ends of a float64.
_MAX_DOUBLINGS = 500.0


class StatsState(NamedTuple):
    """The numbers of `ItemStats`: `origin` is Unix seconds, `scaled` [n, half-lives], the others [n]; all float64.

    `last` are the times of the last interactions, Unix seconds, `NEVER` without any.
    """

    origin: float
    scaled: NDArray[np.float64]
    counts: NDArray[np.float64]
    purchases: NDArray[np.float64]
    last: NDArray[np.float64]

    def only(self, items: NDArray[np.int64]) -> "StatsState":
        """Return the state of some items."""
        return StatsState(self.origin, *(array[items] for array in self[1:]))


class ItemStats:
    """The state of `n` items after the interactions added so far.

    A count with half-life h at time t is the sum of 2**(-(t - ts) / h) over an item's interactions. Adding updates
    every half-life at once, so features as of any later time only cost the requested rows.
    """

    def __init__(self, created_at: NDArray[np.int64], price: NDArray[np.float32], origin: float) -> None:
        """Take creation times (Unix seconds) and prices, both [n], and a time that precedes about all interactions."""
        n = len(created_at)
        self._created_at = created_at
        self._price = np.log1p(np.maximum(price, 0)).astype(np.float32)
        self._origin = origin
        self._scaled = np.zeros((n, len(HALF_LIVES_DAYS)))
        self._count = np.zeros(n)
        self._purchases = np.zeros(n)
        self._last = np.full(n, NEVER)

    @classmethod
    def restore(cls, created_at: NDArray[np.int64], price: NDArray[np.float32], state: StatsState) -> Self:
        """Return statistics that continue at a state."""
        stats = cls(created_at, price, state.origin)
        stats._scaled, stats._count, stats._purchases, stats._last = (array.copy() for array in state[1:])
        return stats

    def state(self) -> StatsState:
        """Return the numbers as they are now."""
        arrays = (self._scaled, self._count, self._purchases, self._last)
        return StatsState(self._origin, *(array.copy() for array in arrays))

    def add(self, items: NDArray[np.int32], ts: NDArray[np.int64], types: NDArray[np.uint8]) -> None:
        """Count interactions, in any order; exposures don't count."""
        interest = types != InteractionType.EXPOSURE
        items, ts, types = items[interest], ts[interest], types[interest]
        if not len(items):
            return
        self._move_origin(float(ts.max()))
        np.add.at(self._scaled, items, np.exp2((ts[:, None] - self._origin) / (HALF_LIVES_DAYS * DAY)))
        np.add.at(self._count, items, 1.0)
        np.add.at(self._purchases, items, types == InteractionType.PURCHASE)
        np.maximum.at(self._last, items, ts)

    def popularity(self, at: float, half_life_days: float = 3.0) -> NDArray[np.float64]:
        """Return the decayed counts of all items as of `at` (Unix seconds), [n]."""
        (window,) = np.flatnonzero(half_life_days == HALF_LIVES_DAYS)
        decayed: NDArray[np.float64] = self._scaled[:, window] * np.exp2(-(at - self._origin) / (half_life_days * DAY))
        return decayed

    def rows(self, items: NDArray[np.int32], at: float) -> NDArray[np.float32]:
        """Return the features of `items` as of `at` (Unix seconds): float32 [m, len(ITEM_FEATURES)]."""
        decay = np.exp2(-(at - self._origin) / (HALF_LIVES_DAYS * DAY))
        counts = self._scaled[items] * decay
        top = float(self._scaled[:, _3D].max(initial=0.0)) * decay[_3D]
        rows = np.empty((len(items), len(ITEM_FEATURES)), np.float32)
        rows[:, 0:4] = np.log1p(counts[:, _1D : _30D + 1])
        rows[:, 4] = np.log1p(self._count[items])
        rows[:, 5] = counts[:, _1D] / (counts[:, _7D] + 1.0)
        rows[:, 6] = counts[:, _3D] / top if top > 0 else 0.0
        rows[:, 7] = np.log1p(np.maximum(at - self._created_at[items], 0.0) / DAY)
        rows[:, 8] = (self._purchases[items] + 1.0) / (self._count[items] + 10.0)
        rows[:, 9] = self._price[items]
        rows[:, 10:13] = np.log1p(counts[:, _6H : _2D + 1])
        rows[:, 13] = _log_places(self._scaled[:, _1D])[items]
        rows[:, 14] = _log_places(self._scaled[:, _7D])[items]
        rows[:, 15] = counts[:, _7D] / (counts[:, _30D] + 1.0)
        rows[:, 16] = np.log1p(np.clip(at - self._last[items], 0.0, _LONG_AGO) / HOUR)
        return rows

    def _move_origin(self, latest: float) -> None:
        if (latest - self._origin) / _SHORTEST < _MAX_DOUBLINGS:
            return
        self._scaled *= np.exp2(-(latest - self._origin) / (HALF_LIVES_DAYS * DAY))
        self._origin = latest


def most_popular(counts: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Return the positions of the `size` greatest counts, descending; ties go to the lower position.

    Zeros are left out.
    """
    cut = 0.0
    if 0 < size < len(counts):
        # Ties at the cut must not depend on the partition's order, so all tied items are sorted.
        cut = np.partition(counts, len(counts) - size)[len(counts) - size]
    pool = np.flatnonzero((counts >= cut) & (counts > 0))
    first: NDArray[np.int64] = pool[np.argsort(-counts[pool], kind="stable")][:size]
    return first


def _log_places(counts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return log1p of each item's place by count, descending, [n]; places from `RANKED` on are `RANKED`."""
    places = np.full(len(counts), RANKED)
    first = most_popular(counts, RANKED)
    places[first] = np.arange(len(first))
    logarithms: NDArray[np.float32] = np.log1p(places).astype(np.float32)
    return logarithms
