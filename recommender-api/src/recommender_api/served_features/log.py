"""Writes what sampled answers were ranked with to Redis, after the answers and within bounds."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from recommender_api.redis_store import NewServed, StoreError
from recommender_api.served_features.ranking import ServedRanking

# About 5 MB. So many wait only while Redis is in trouble.
MAX_WAITING = 100
# About 1,600 answers. Three days of four replicas are 5 GB at most in PostgreSQL.
MAX_BYTES_PER_HOUR = 16 * 2**20
_HOUR = 3600.0
_BATCH = 10
_GATHERING_SECONDS = 0.05
# Packing an answer takes half a millisecond. It is not done in vain while nobody reads.
NO_READER_SECONDS = 30.0

CountDropped = Callable[[int], None]


class ServedStore(Protocol):
    """Where the entries go."""

    async def add_served(self, entries: list[NewServed]) -> int:
        """Append entries and return their number; see `Store`."""
        ...


class ServedFeatureLog:
    """Collects rankings and writes them in the background. `count_dropped` gets the number of those that are lost."""

    def __init__(
        self,
        store: ServedStore,
        count_dropped: CountDropped,
        *,
        max_bytes_per_hour: int = MAX_BYTES_PER_HOUR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._count_dropped = count_dropped
        self._max_bytes = max_bytes_per_hour
        self._clock = clock
        self._waiting: deque[tuple[str, ServedRanking]] = deque()
        self._wake = asyncio.Event()
        self._hour_began = clock()
        self._bytes = 0
        self._rests_until = self._hour_began

    def offer(self, request_id: str, ranking: ServedRanking) -> None:
        """Take the ranking of an answer; past a bound it is counted and dropped."""
        if len(self._waiting) >= MAX_WAITING or not self._has_room():
            self._count_dropped(1)
            return
        self._waiting.append((request_id, ranking))
        self._wake.set()

    async def step(self) -> None:
        """Wait for rankings and write them."""
        await self._wake.wait()
        await asyncio.sleep(_GATHERING_SECONDS)
        self._wake.clear()
        while self._waiting:
            await self._write([self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))])

    async def _write(self, batch: list[tuple[str, ServedRanking]]) -> None:
        # zlib releases the interpreter, so no request waits for it.
        entries = await asyncio.to_thread(_pack, batch)
        self._bytes += sum(len(entry.head) + len(entry.vectors) for entry in entries)
        try:
            written = await self._store.add_served(entries)
        except StoreError:
            written = 0
        else:
            if not written:
                self._rests_until = self._clock() + NO_READER_SECONDS
        if written < len(entries):
            self._count_dropped(len(entries) - written)

    def _has_room(self) -> bool:
        now = self._clock()
        if now < self._rests_until:
            return False
        if now - self._hour_began >= _HOUR:
            self._hour_began, self._bytes = now, 0
        return self._bytes < self._max_bytes


def _pack(batch: list[tuple[str, ServedRanking]]) -> list[NewServed]:
    return [ranking.pack(request_id) for request_id, ranking in batch]
