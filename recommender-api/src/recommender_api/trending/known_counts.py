"""The live counts of the datasets that a model knows, however many others have higher counts."""

import math
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from contracts import redis_keys
from contracts.redis_keys import Timeframe
from ranking.bundle import BundleContents
from recommender_api.answers.budget import Budget, Stage
from recommender_api.redis_store import GuardedStore

# The longest answer has 100 items; filters may remove as many again.
ENOUGH = 200
FIRST_PAGE = 400
# A page takes Redis a quarter of a millisecond, and this process a millisecond.
PAGE = 1000
FRESH_SECONDS = 1.0
# A request reads further pages only while the stage `read` has as much time left; the next request goes on.
MARGIN_SECONDS = 0.04

Count = tuple[int, float]


@dataclass
class _Walk:
    """A pass over the places after the first page, continued by several requests if it is long."""

    contents: weakref.ref[BundleContents]
    found: dict[int, float] = field(default_factory=dict)
    start: int = FIRST_PAGE
    ended_at: float | None = None
    in_progress: bool = False
    # Of the pass before, until this one has ended.
    previous: dict[int, float] = field(default_factory=dict)


class KnownCounts:
    """Reads a window's counts. Usually the first page is enough; then nothing is cached."""

    def __init__(self, store: GuardedStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._walks: dict[Timeframe, _Walk] = {}

    async def read(self, timeframe: Timeframe, contents: BundleContents, budget: Budget) -> list[Count]:
        """Return the counts of known datasets, highest first; raises `StoreError`."""
        page = await self._store.top(redis_keys.hot(timeframe), FIRST_PAGE)
        known = _known(page, contents)
        if len(page) < FIRST_PAGE or len(known) >= ENOUGH:
            return known
        deeper = await self._walk(timeframe, contents, budget)
        return sorted((deeper | dict(known)).items(), key=lambda pair: -pair[1])

    async def _walk(self, timeframe: Timeframe, contents: BundleContents, budget: Budget) -> dict[int, float]:
        walk = self._current(timeframe, contents)
        if walk.ended_at is None and not walk.in_progress:
            walk.in_progress = True
            try:
                await self._read_page(timeframe, contents, walk)
                while walk.ended_at is None and budget.left(Stage.READ) > MARGIN_SECONDS:
                    await self._read_page(timeframe, contents, walk)
            finally:
                walk.in_progress = False
        return walk.found if walk.ended_at is not None else walk.previous | walk.found

    def _current(self, timeframe: Timeframe, contents: BundleContents) -> _Walk:
        walk = self._walks.get(timeframe)
        if walk is None or walk.contents() is not contents:
            walk = self._walks[timeframe] = _Walk(weakref.ref(contents))
        elif walk.ended_at is not None and self._clock() - walk.ended_at > FRESH_SECONDS:
            walk = self._walks[timeframe] = _Walk(walk.contents, previous=walk.found)
        return walk

    async def _read_page(self, timeframe: Timeframe, contents: BundleContents, walk: _Walk) -> None:
        page = await self._store.top(redis_keys.hot(timeframe), PAGE, walk.start)
        walk.found.update(_known(page, contents))
        walk.start += PAGE
        if len(page) < PAGE or len(walk.found) >= ENOUGH:
            walk.ended_at = self._clock()


def _known(counts: Iterable[Count], contents: BundleContents) -> list[Count]:
    # A share of an infinite count is not a number.
    return [
        (id_, count) for id_, count in counts if 0 < count < math.inf and contents.catalogue.position(id_) is not None
    ]
