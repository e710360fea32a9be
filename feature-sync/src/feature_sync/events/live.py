"""Live features: what users did lately, and what is hot, in Redis within a second of the event."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from contracts import redis_keys
from contracts.events import BehaviorEvent, InteractionType
from contracts.user_blob import LiveHistory, MalformedBlobError
from feature_sync.hot.windows import WINDOWS, weight

LIVE_SECONDS = 90 * 86_400
# Longer than an unfinished entry can wait to be taken again.
APPLIED_SECONDS = 86_400


class LiveFeatures:
    """Applies events once each: a marker per event is set in the transaction that applies it, so that an entry that
    is delivered again changes nothing. `now` is Unix time."""

    def __init__(self, redis: Redis, now: Callable[[], float]) -> None:
        self._redis = redis
        self._now = now

    async def apply(self, events: Sequence[BehaviorEvent]) -> int:
        """Add events to live histories and hot counts, and return how many were new; exposures are no interest."""
        wanted = {event.event_id: event for event in events if event.type != "exposure"}
        if not wanted:
            return 0
        async with self._redis.pipeline(transaction=True) as pipeline:
            while True:
                try:
                    return await self._apply(pipeline, list(wanted.values()))
                except WatchError:
                    # Another replica changed one of these users in between.
                    continue

    async def _apply(self, pipeline: Pipeline, events: list[BehaviorEvent]) -> int:
        markers = [_applied(event.event_id) for event in events]
        await pipeline.watch(*markers)
        seen = await pipeline.mget(markers)
        fresh = [event for event, marker in zip(events, seen, strict=True) if marker is None]
        if not fresh:
            await pipeline.reset()  # type: ignore[no-untyped-call]  # as below
            return 0
        by_user: dict[int, list[BehaviorEvent]] = defaultdict(list)
        for event in fresh:
            by_user[event.user_id].append(event)
        keys = [redis_keys.live_history(user) for user in by_user]
        await pipeline.watch(*keys)
        stored: list[Any] = await pipeline.mget(keys)
        pipeline.multi()  # type: ignore[no-untyped-call]  # redis-py's
        for key, blob, mine in zip(keys, stored, by_user.values(), strict=True):
            pipeline.set(key, _history(blob).append(*_columns(mine)).pack(), ex=LIVE_SECONDS)
        self._count(pipeline, fresh)
        for event in fresh:
            pipeline.set(_applied(event.event_id), b"", ex=APPLIED_SECONDS)
        await pipeline.execute()
        return len(fresh)

    def _count(self, pipeline: Pipeline, events: list[BehaviorEvent]) -> None:
        now = self._now()
        for window in WINDOWS:
            for event in events:
                # A client's clock may be ahead.
                at = min(event.ts.timestamp(), now)
                if at > now - window.seconds:
                    key = redis_keys.hot_bucket(window.name, window.slice_of(at))
                    pipeline.zincrby(key, weight(event.type), str(event.dataset_id))
                    pipeline.expire(key, window.seconds + window.slice_seconds)


def _applied(event_id: str) -> str:
    return f"applied:{event_id}"


def _history(blob: bytes | None) -> LiveHistory:
    if blob is None:
        return LiveHistory()
    try:
        return LiveHistory.unpack(blob)
    except MalformedBlobError:
        return LiveHistory()


def _columns(events: list[BehaviorEvent]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    return (
        np.array([event.dataset_id for event in events], np.int64),
        np.array([int(event.ts.timestamp()) for event in events], np.int64),
        np.array([InteractionType.of(event.type) for event in events], np.uint8),
    )
