"""Counts interactions in the sliding windows, each event once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.asyncio import RedisCluster

from contracts import redis_keys
from contracts.event_filter import filter_entry
from contracts.events import INTERACTION_WEIGHT, BehaviorEvent, InteractionType
from feature_sync.connections import AnyRedis
from feature_sync.hot.scripts import COUNT, shard_of
from feature_sync.hot.windows import WINDOWS, Window

# A repeated event within a day, and an entry that was delivered again, are recognized.
_FILTER_SECONDS = 25 * 3600
# An event takes Redis about 15 µs at 100,000 datasets; no call may hold up answers.
EVENTS_PER_CALL = 12
_OUTSIDE = -1


class HotCounts:
    """Adds events to the slices and to the sums that readers see. `now` is Unix time."""

    def __init__(self, redis: AnyRedis, now: Callable[[], float]) -> None:
        self._redis = redis
        self._now = now
        # The windows of a cluster can be on different nodes, so each has a filter of its own there.
        self._groups = [(window,) for window in WINDOWS] if isinstance(redis, RedisCluster) else [WINDOWS]

    async def count(self, events: Sequence[BehaviorEvent]) -> None:
        """Count each event in the windows in which it lies; a repeated one changes nothing."""
        now = self._now()
        for windows in self._groups:
            rows = [row for event in events if (row := _row(event, windows, now))]
            for start in range(0, len(rows), EVENTS_PER_CALL):
                await self._count(windows, rows[start : start + EVENTS_PER_CALL])

    async def _count(self, windows: Sequence[Window], rows: Sequence[list[Any]]) -> None:
        keys = [redis_keys.hot(window.name) for window in windows]
        head = [_FILTER_SECONDS, *(window.slice_ttl for window in windows)]
        await COUNT.run(self._redis, keys, [*head, *(value for row in rows for value in row)])


def _row(event: BehaviorEvent, windows: Sequence[Window], now: float) -> list[Any]:
    """Return the arguments of an event, none if it lies in no window."""
    # A client's clock may be fast.
    slices = list(_slices(min(event.ts.timestamp(), now), windows, now))
    if set(slices) == {_OUTSIDE}:
        return []
    weight = INTERACTION_WEIGHT[InteractionType.of(event.type)]
    marker = filter_entry(event.event_id, event.ts, now)
    return [*marker, f"{weight:g}", event.dataset_id, shard_of(event.dataset_id), event.event_id, *slices]


def _slices(at: float, windows: Sequence[Window], now: float) -> Iterator[int]:
    for window in windows:
        number = window.slice_of(at)
        yield number if number >= window.oldest_slice(now) else _OUTSIDE
