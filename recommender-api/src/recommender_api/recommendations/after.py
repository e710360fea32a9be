"""What is written to Redis after an answer: the result, the last good answer, and what the user was shown."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from random import getrandbits
from typing import NamedTuple

import orjson

import monitoring
from recommender_api.metrics import Metrics
from recommender_api.redis_store import GuardedStore, Put, StoreError

# Some seconds of answers at full load; behind that, Redis is in trouble and a cache entry more won't help.
MAX_WAITING = 5_000
# Packing so many holds up the requests for a fraction of a millisecond.
BATCH = 20
GATHERING_SECONDS = 0.005
DRAIN_SECONDS = 1.0


class _Writes(NamedTuple):
    request_id: str
    put: Put | None
    exposures: bytes | None
    shown: int


class AfterAnswers:
    """Collects what answers leave to write, and writes it in batches; a caller never waits for it."""

    def __init__(self, store: GuardedStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._waiting: deque[_Writes] = deque()
        self._wake = asyncio.Event()

    def add(self, request_id: str, put: Put | None, exposures: bytes | None, shown: int) -> None:
        """Take what one answer that showed so many datasets leaves to write; past the bound the oldest goes."""
        if len(self._waiting) >= MAX_WAITING:
            self._drop([self._waiting.popleft()])
        self._waiting.append(_Writes(request_id, put, exposures, shown))
        self._wake.set()

    async def step(self) -> None:
        """Wait for something to write and write it."""
        await self._wake.wait()
        # Writing together what some answers leave costs a fraction of writing each.
        await asyncio.sleep(GATHERING_SECONDS)
        self._wake.clear()
        while self._waiting:
            await self._write([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))])

    async def drain(self) -> None:
        """Write what is left, for the end of the process."""
        if self._waiting:
            self._wake.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self.step()

    async def _write(self, batch: list[_Writes]) -> None:
        if self._store.breaker.is_open:
            # The requests have reported it already.
            self._drop(batch)
            return
        puts = [writes.put for writes in batch if writes.put is not None]
        exposures = [writes.exposures for writes in batch if writes.exposures is not None]
        with monitoring.facts(request_id=batch[-1].request_id):
            try:
                await self._store.write(puts, exposures)
            except StoreError:
                self._drop(batch)

    def _drop(self, batch: Sequence[_Writes]) -> None:
        self._metrics.dropped("cache", sum(len(writes.put.keys) for writes in batch if writes.put is not None))
        self._metrics.dropped("exposure", sum(writes.shown for writes in batch if writes.exposures is not None))


def exposures(
    user_id: int,
    ids: Sequence[int],
    request_id: str,
    experiment: str | None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> bytes:
    """Return what an answer shows as `Exposures` JSON."""
    return orjson.dumps(
        {
            # Not from the request's id: callers may send the same one twice.
            "exposure_id": f"exp-{getrandbits(64):016x}",
            "user_id": user_id,
            "dataset_ids": ids,
            "request_id": request_id,
            "experiment_variant": experiment,
            "ts": now(),
        }
    )
