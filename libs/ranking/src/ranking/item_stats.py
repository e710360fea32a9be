"""Item features as of a given time: exponentially decayed interaction counts, age and price."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from contracts.events import InteractionType
from contracts.features import ITEM_FEATURES
from ranking.jit import Fields, compiled

DAY = 86_400.0
HALF_LIVES_DAYS = np.array([1.0, 3.0, 7.0, 30.0, 0.25, 0.5, 2.0])
_WINDOWS = {half_life: window for window, half_life in enumerate(HALF_LIVES_DAYS.tolist())}
_1D, _3D, _7D, _30D, _6H, _12H, _2D = range(len(HALF_LIVES_DAYS))
_SHORTEST = float(HALF_LIVES_DAYS.min()) * DAY
HOUR = 3600.0
# Places in the order of popularity; all datasets further back share the next one.
RANKED = 500
# Idle time of a dataset without interactions: longer than any data.
_LONG_AGO = 30 * 365 * DAY
# The time of its last one, so long before 1970. A finite number, because evaluation parts reject others.
NEVER = -_LONG_AGO
_EXPOSURE, _PURCHASE = int(InteractionType.EXPOSURE), int(InteractionType.PURCHASE)
# By place, the last one for all items further back.
_LOG_PLACES = np.log1p(np.arange(RANKED + 1)).astype(np.float32)
_FEATURES = len(ITEM_FEATURES)
# Counts are scaled to an origin that moves in steps of so many of the shortest half-lives, with room to both ends
# of float64. It follows from the latest interaction alone, so that the order of adding changes nothing.
_STEP_DOUBLINGS = 500.0
# A smaller scaled count is none. Near the smallest float64, it would depend on the order of adding.
_NEGLIGIBLE = 2.0**-1000


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


class _Columns(NamedTuple):
    """Those of `StatsState`, creation times int64 [n], and log prices float32 [n].

    `scaled` is in Fortran's order, because an order of popularity needs one half-life of all items.
    """

    scaled: NDArray[np.float64]
    counts: NDArray[np.float64]
    purchases: NDArray[np.float64]
    last: NDArray[np.float64]
    created_at: NDArray[np.int64]
    price: NDArray[np.float32]


class _Head(NamedTuple):
    """The `RANKED` most popular items of a half-life: the first `size` of `items`, int64 [RANKED], descending.

    Ties go to the lower position. `places` int32 [n] are those of all items, `RANKED` for the others.
    """

    items: NDArray[np.int64]
    places: NDArray[np.int32]
    size: int

    @property
    def used(self) -> NDArray[np.int64]:
        """The most popular items themselves."""
        return self.items[: self.size]


class ItemStats:
    """The state of `n` items after the interactions added so far.

    A count with half-life h at time t is the sum of 2**(-(t - ts) / h) over an item's interactions. Adding updates
    every half-life at once, so features as of any later time only cost the requested rows. All counts of a half-life
    fall alike, so only interactions change the order of popularity.
    """

    def __init__(self, created_at: NDArray[np.int64], price: NDArray[np.float32], origin: float) -> None:
        """Take creation times (Unix seconds) and prices, both [n], and a time that precedes about all interactions."""
        n = len(created_at)
        self._origin = origin
        self._columns = _Columns(
            np.zeros((n, len(HALF_LIVES_DAYS)), order="F"),
            np.zeros(n),
            np.zeros(n),
            np.full(n, NEVER),
            np.array(created_at, np.int64),
            np.log1p(np.maximum(price, 0)).astype(np.float32),
        )
        # By half-life, of those that were asked for.
        self._heads: dict[int, _Head] = {}

    @classmethod
    def restore(cls, created_at: NDArray[np.int64], price: NDArray[np.float32], state: StatsState) -> Self:
        """Return statistics that continue at a state."""
        stats = cls(created_at, price, state.origin)
        columns = stats._columns
        columns.scaled[:], columns.counts[:], columns.purchases[:], columns.last[:] = state[1:]
        return stats

    def state(self) -> StatsState:
        """Return the numbers as they are now."""
        columns = self._columns
        arrays = (columns.scaled, columns.counts, columns.purchases, columns.last)
        return StatsState(self._origin, *(array.copy() for array in arrays))

    def add(self, items: NDArray[np.int32], ts: NDArray[np.int64], types: NDArray[np.uint8]) -> None:
        """Count interactions, in any order; exposures don't count."""
        if not len(items):
            return
        self._move_origin(float(ts.max()))
        _count(tuple(self._columns), items, ts, types, self._origin)
        for window, head in self._heads.items():
            self._heads[window] = self._renewed(head, window, items)

    def popularity(self, at: float, half_life_days: float = 3.0) -> NDArray[np.float64]:
        """Return the decayed counts of all items as of `at` (Unix seconds), [n]."""
        window = _WINDOWS[half_life_days]
        scaled = self._columns.scaled[:, window]
        return np.where(scaled > _NEGLIGIBLE, scaled * self._decay(at)[window], 0.0)

    def most_popular(
        self, at: float, size: int, half_life_days: float = 3.0
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the `size` most popular items as of `at` (Unix seconds), and their decayed counts; zeros are left out.

        Ties go to the lower position.
        """
        window = _WINDOWS[half_life_days]
        scaled = self._columns.scaled[:, window]
        items = self._head(window).used[:size] if size <= RANKED else _first_of(scaled, size)
        counts = scaled[items] * self._decay(at)[window]
        return items[counts > 0], counts[counts > 0]

    def rows(self, items: NDArray[np.int32], at: float) -> NDArray[np.float32]:
        """Return the features of `items` as of `at` (Unix seconds): float32 [m, len(ITEM_FEATURES)]."""
        first = self._head(_3D).used[:1]
        places = (self._head(_1D).places, self._head(_7D).places)
        return _fill_rows(tuple(self._columns), (first, *places), items, float(at), self._decay(at))

    def _decay(self, at: float) -> NDArray[np.float64]:
        decay: NDArray[np.float64] = np.exp2(-(at - self._origin) / (HALF_LIVES_DAYS * DAY))
        return decay

    def _head(self, window: int) -> _Head:
        """Return the most popular items of a half-life."""
        if window not in self._heads:
            n = len(self._columns.price)
            nothing = _Head(np.empty(RANKED, np.int64), np.full(n, RANKED, np.int32), 0)
            self._heads[window] = self._renewed(nothing, window, np.arange(n, dtype=np.int32))
        return self._heads[window]

    def _renewed(self, head: _Head, window: int, grown: NDArray[np.int32]) -> _Head:
        """Return a head whose arrays are up to date after the counts of some items have grown."""
        size = _raise_items(tuple(head), self._columns.scaled[:, window], grown)
        return head._replace(size=size)

    def _move_origin(self, latest: float) -> None:
        step = _STEP_DOUBLINGS * _SHORTEST
        origin = self._origin + step * max((latest - self._origin) // step, 0.0)
        if origin == self._origin:
            return
        self._columns.scaled[:] *= self._decay(origin)
        # Small counts become none.
        self._heads.clear()
        self._origin = origin


@compiled
def _first_of(counts: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Return the positions of the `size` greatest counts, descending; ties go to the lower position.

    Negligible ones are left out.
    """
    pool = np.flatnonzero(counts > _NEGLIGIBLE)
    return pool[np.argsort(-counts[pool], kind="mergesort")[:size]]


@compiled
def _raise_items(head: Fields, counts: NDArray[np.float64], grown: NDArray[np.int32]) -> int:
    """Update the arrays of a `_Head` after the counts of some items have grown; return its size."""
    items, places, size = _Head(*head)
    # Insertion sort: few items move, and by few places.
    for place in range(1, size):
        _move_up(items, counts, place)
    for item in grown:
        if places[item] < RANKED or counts[item] <= _NEGLIGIBLE:
            continue
        if size < RANKED:
            size += 1
        elif _is_ahead(counts, item, items[size - 1]):
            places[items[size - 1]] = RANKED
        else:
            continue
        items[size - 1], places[item] = item, 0
        _move_up(items, counts, size - 1)
    for place in range(size):
        places[items[place]] = place
    return size


@compiled
def _move_up(items: NDArray[np.int64], counts: NDArray[np.float64], place: int) -> None:
    """Move the item at a place ahead of those before it that have less."""
    item = items[place]
    while place > 0 and _is_ahead(counts, item, items[place - 1]):
        items[place] = items[place - 1]
        place -= 1
    items[place] = item


@compiled
def _is_ahead(counts: NDArray[np.float64], item: int, other: int) -> bool:
    return counts[item] > counts[other] or (counts[item] == counts[other] and item < other)


@compiled
def _count(
    columns: Fields, items: NDArray[np.int32], ts: NDArray[np.int64], types: NDArray[np.uint8], origin: float
) -> None:
    """Add interactions to `_Columns`."""
    scaled, counts, purchases, last, _, _ = columns
    for row in range(len(items)):
        if types[row] == _EXPOSURE:
            continue
        item = items[row]
        for window in range(len(HALF_LIVES_DAYS)):
            scaled[item, window] += np.exp2((ts[row] - origin) / (HALF_LIVES_DAYS[window] * DAY))
        counts[item] += 1.0
        purchases[item] += types[row] == _PURCHASE
        last[item] = max(last[item], ts[row])


@compiled
def _fill_rows(
    columns: Fields, popular: Fields, items: NDArray[np.int32], at: float, decay: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return `ItemStats.rows` of `_Columns`.

    `popular` are the most popular item of 3 days, if there is one, and the places of all by 1 and by 7 days.
    """
    scaled, counts, purchases, last, created_at, price = columns
    first, places_of_day, places_of_week = popular
    top = scaled[first[0], _3D] * decay[_3D] if len(first) else 0.0
    rows = np.empty((len(items), _FEATURES), np.float32)
    decayed = np.empty(len(decay))
    for row in range(len(items)):
        item = items[row]
        for window in range(len(decay)):
            decayed[window] = scaled[item, window] * decay[window]
        for window in range(_1D, _30D + 1):
            rows[row, window] = np.log1p(decayed[window])
        rows[row, 4] = np.log1p(counts[item])
        rows[row, 5] = decayed[_1D] / (decayed[_7D] + 1.0)
        rows[row, 6] = decayed[_3D] / top if top > 0 else 0.0
        rows[row, 7] = np.log1p(max(at - created_at[item], 0.0) / DAY)
        rows[row, 8] = (purchases[item] + 1.0) / (counts[item] + 10.0)
        rows[row, 9] = price[item]
        for window in range(_6H, _2D + 1):
            rows[row, 10 + window - _6H] = np.log1p(decayed[window])
        rows[row, 13] = _LOG_PLACES[places_of_day[item]]
        rows[row, 14] = _LOG_PLACES[places_of_week[item]]
        rows[row, 15] = decayed[_7D] / (decayed[_30D] + 1.0)
        rows[row, 16] = np.log1p(min(max(at - last[item], 0.0), _LONG_AGO) / HOUR)
    return rows
