"""Writes to Redis after an answer: the result, the last good answer, and the exposure."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from random import getrandbits, random
from time import time
from typing import NamedTuple

import orjson

import monitoring
from recommender_api.answers.query import Query
from recommender_api.answers.stored import StoredAnswer
from recommender_api.metrics import Metrics
from recommender_api.redis_store import GuardedStore, Put, StoreError, StreamFullError
from servicekit.background import report_failure

# Some seconds of answers at full load. If more is waiting, Redis is in trouble, and more cache entries won't help.
MAX_WAITING = 5_000
# Packing this many delays the requests by a fraction of a millisecond.
BATCH = 20
GATHERING_SECONDS = 0.005
DRAIN_SECONDS = 1.0


class PendingWrite(NamedTuple):
    """The writes of one answer: the answer under `keys`, each with its TTL in seconds, and its exposure if `is_logged`.

    `at` is in Unix seconds; `propensity` is the probability of each dataset at its place, None if none was drawn.
    """

    request_id: str
    answer: StoredAnswer
    keys: dict[str, int]
    query: Query
    fallback_level: int
    is_logged: bool
    # Not the request's id: callers may send the same one twice.
    exposure_id: int
    at: float
    propensity: float | None = None


class WriteBehind:
    """Collects the writes of answers and does them in batches; no caller waits for them.

    All answers to users are logged as exposures, and `anonymous_share` of the others; `chance` draws from 0..1.
    """

    def __init__(
        self,
        store: GuardedStore,
        metrics: Metrics,
        *,
        anonymous_share: float,
        chance: Callable[[], float] = random,  # noqa: S311 - a sample is no secret
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._anonymous_share = anonymous_share
        self._chance = chance
        self._waiting: deque[PendingWrite] = deque()
        self._wake = asyncio.Event()

    def add(
        self,
        request_id: str,
        answer: StoredAnswer,
        keys: dict[str, int],
        query: Query,
        level: int,
        *,
        propensity: float | None = None,
    ) -> None:
        """Add the writes of an answer, see `PendingWrite`; above the limit the oldest is dropped."""
        is_logged = query.user_id is not None or (bool(answer.ids) and self._chance() < self._anonymous_share)
        if not (keys or is_logged):
            return
        if len(self._waiting) >= MAX_WAITING:
            self._drop([self._waiting.popleft()])
        # Packing is left to the batch, because packing many writes together is faster.
        self._waiting.append(
            PendingWrite(request_id, answer, keys, query, level, is_logged, getrandbits(64), time(), propensity)
        )
        self._wake.set()

    async def step(self) -> None:
        """Wait for pending writes and do one batch."""
        await self._wake.wait()
        # One write for several answers costs a fraction of a write for each.
        await asyncio.sleep(GATHERING_SECONDS)
        self._wake.clear()
        while self._waiting:
            await self._write([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))])

    async def drain(self) -> None:
        """Do all pending writes; called at the end of the process."""
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
                # A write that can't be packed must not prevent the others of its batch.
                for each in batch:
                    await self._write([each])
                return
            self._drop(batch)
            report_failure("cache writes", error)
            return
        with monitoring.bound_context(request_id=batch[-1].request_id):
            try:
                await self._store.write(puts, shown)
            except StreamFullError:
                self._metrics.dropped("exposure", sum(write.is_logged for write in batch))
            except StoreError:
                self._drop(batch)

    def _drop(self, batch: Sequence[PendingWrite]) -> None:
        self._metrics.dropped("cache", sum(len(write.keys) for write in batch))
        self._metrics.dropped("exposure", sum(write.is_logged for write in batch))


def _packed(batch: Sequence[PendingWrite]) -> tuple[list[Put], list[bytes]]:
    puts = [Put(write.answer.pack(), write.keys) for write in batch if write.keys]
    return puts, [exposure(write) for write in batch if write.is_logged]


def exposure(write: PendingWrite) -> bytes:
    """Return the exposure of an answer as `Exposure` JSON; it begins with the user, see `exposure_calls`."""
    served = write.answer.served
    items = orjson.loads(write.answer.items)
    drawn = {} if write.propensity is None else {"propensity": [write.propensity] * len(items)}
    return orjson.dumps(
        {
            "user_id": write.query.user_id,
            "exposure_id": f"exp-{write.exposure_id:016x}",
            "dataset_ids": write.answer.ids,
            "request_id": write.request_id,
            "endpoint": write.query.endpoint,
            "model_version": served.model_version,
            "model_variant": served.model_variant,
            "experiment_variant": served.experiment_variant,
            "fallback_level": write.fallback_level,
            "scores": [item["score"] for item in items],
            "channels": ["+".join(item["reasons"]) for item in items],
            "ts": datetime.fromtimestamp(write.at, UTC),
            **drawn,
        }
    )
