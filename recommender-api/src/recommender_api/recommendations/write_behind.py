"""What is written to Redis after an answer: the result, the last good answer, and what the user was shown."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from random import getrandbits
from time import time
from typing import NamedTuple

import orjson

import monitoring
from recommender_api.answers.stored import StoredAnswer
from recommender_api.metrics import Metrics
from recommender_api.redis_store import GuardedStore, Put, StoreError
from servicekit.background import report_failure

# Some seconds of answers at full load; behind that, Redis is in trouble and a cache entry more won't help.
MAX_WAITING = 5_000
# Packing so many holds up the requests for a fraction of a millisecond.
BATCH = 20
GATHERING_SECONDS = 0.005
DRAIN_SECONDS = 1.0


class PendingWrite(NamedTuple):
    """What one answer leaves to write: itself, under `keys` for so many seconds, and that a user was shown it.

    `user_id` is None where it is not known who was; `at` is in Unix seconds.
    """

    request_id: str
    answer: StoredAnswer
    keys: dict[str, int]
    user_id: int | None
    # Not the request's id: callers may send the same one twice.
    exposure_id: int
    at: float

    @property
    def shown(self) -> int:
        """How many datasets somebody was shown."""
        return 0 if self.user_id is None else len(self.answer.ids)


class WriteBehind:
    """Collects what answers leave to write, and writes it in batches; a caller never waits for it."""

    def __init__(self, store: GuardedStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._waiting: deque[PendingWrite] = deque()
        self._wake = asyncio.Event()

    def add(self, request_id: str, answer: StoredAnswer, keys: dict[str, int], user_id: int | None) -> None:
        """Take what an answer leaves to write, see `PendingWrite`; past the bound the oldest goes."""
        if len(self._waiting) >= MAX_WAITING:
            self._drop([self._waiting.popleft()])
        # What is to be written is put together where it is written, for many at a time: that is faster, too.
        self._waiting.append(PendingWrite(request_id, answer, keys, user_id, getrandbits(64), time()))
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

    async def _write(self, batch: list[PendingWrite]) -> None:
        if self._store.breaker.is_open:
            # The requests have reported it already.
            self._drop(batch)
            return
        try:
            puts, shown = _packed(batch)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one answer
            if len(batch) > 1:
                # One that cannot be packed must not take the others of its batch with it.
                for each in batch:
                    await self._write([each])
                return
            self._drop(batch)
            report_failure("cache writes", error)
            return
        with monitoring.bound_context(request_id=batch[-1].request_id):
            try:
                await self._store.write(puts, shown)
            except StoreError:
                self._drop(batch)

    def _drop(self, batch: Sequence[PendingWrite]) -> None:
        self._metrics.dropped("cache", sum(len(write.keys) for write in batch))
        self._metrics.dropped("exposure", sum(write.shown for write in batch))


def _packed(batch: Sequence[PendingWrite]) -> tuple[list[Put], list[bytes]]:
    puts = [Put(write.answer.pack(), write.keys) for write in batch if write.keys]
    return puts, [exposures(write) for write in batch if write.user_id is not None]


def exposures(write: PendingWrite) -> bytes:
    """Return what an answer shows as `Exposures` JSON."""
    return orjson.dumps(
        {
            "exposure_id": f"exp-{write.exposure_id:016x}",
            "user_id": write.user_id,
            "dataset_ids": write.answer.ids,
            "request_id": write.request_id,
            "experiment_variant": write.answer.served.experiment_variant,
            "ts": datetime.fromtimestamp(write.at, UTC),
        }
    )
