"""Measures how old the active snapshot is."""

import math
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError

from contracts import redis_keys
from feature_sync.bounds import BoundWatch
from feature_sync.connections import AnyRedis
from feature_sync.metrics import Metrics


class SnapshotAge:
    """The active version and the time since its snapshot was made, as they were measured last. `now` is Unix time.

    The age is None without a snapshot, for one that a worker of an earlier release has written, and with a time in
    Redis that is none.
    """

    def __init__(
        self, redis: AnyRedis, metrics: Metrics, watch: BoundWatch, now: Callable[[], float] = time.time
    ) -> None:
        self.version: str | None = None
        self.seconds: float | None = None
        # Redis holds something else than a time.
        self.is_unreadable = False
        self._redis = redis
        self._metrics = metrics
        self._watch = watch
        self._now = now

    @property
    def is_exceeded(self) -> bool:
        """Whether the snapshot is older than the bound."""
        return self._watch.is_exceeded

    async def measure(self) -> None:
        """Ask Redis."""
        pointer: Any = await self._redis.get(redis_keys.SNAPSHOT_POINTER)
        created = None if pointer is None else await self._created(pointer)
        self.version = None if pointer is None else pointer.decode("utf-8", "replace")
        made_at = _parse_time(created)
        self.seconds = None if made_at is None else max(0.0, self._now() - made_at)
        self.is_unreadable = created is not None and made_at is None
        self._metrics.snapshot_age.set(float("nan") if self.seconds is None else self.seconds)
        if self.seconds is None:
            self._watch.forget()
        else:
            details = f"the active snapshot {self.version} was made {self.seconds / 3600:.1f} h ago"
            self._watch.check(self.seconds, details)

    async def _created(self, pointer: bytes) -> bytes | None:
        try:
            created: Any = await self._redis.hget(redis_keys.SNAPSHOT_CREATED, pointer)
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            return b""
        return None if created is None else bytes(created)


def _parse_time(written: bytes | None) -> float | None:
    try:
        found = math.nan if written is None else float(written)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
