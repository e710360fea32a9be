"""Lets the windows slide: what has left a window is subtracted, a few members at a time."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from contracts import redis_keys
from feature_sync.connections import AnyRedis, Script
from feature_sync.hot.scripts import FINISH, FORGET, PREPARE, SLICE_SHARDS, TAKE, TAKE_LEGACY
from feature_sync.hot.windows import WINDOWS, Window

_log = logging.getLogger(__name__)

# A member takes Redis about 8 µs at 100,000 datasets; no call may hold up answers.
MEMBERS_PER_CALL = 20
# A round of half a second subtracts up to 4,000 members of a window.
CALLS_PER_ROUND = 200


class HotWindows:
    """Keeps `hot:1h` and `hot:24h` the sum of their slices; they expire by themselves without it.

    All state is in Redis, and each step may be repeated: several workers may run it, and a killed one leaves nothing.
    """

    def __init__(self, redis: AnyRedis, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._now = now

    async def refresh(self) -> None:
        """Let each window slide by a bounded number of members; the rest follows in the next rounds."""
        for window in WINDOWS:
            await _Round(self._redis, window, self._now()).run()


class _Round:
    """One refresh of one window."""

    def __init__(self, redis: AnyRedis, window: Window, now: float) -> None:
        self._redis = redis
        self._window = window
        self._key = redis_keys.hot(window.name)
        self._now = now
        self._calls = CALLS_PER_ROUND

    async def run(self) -> None:
        legacy = list(self._window.legacy_slices(self._now))
        epoch, building, waiting, sources = await self._run(PREPARE, self._window.seconds, *legacy)
        await self._take_legacy(waiting)
        if building:
            for source in sources:
                await self._move(source)
            if self._calls > 0:
                _log.info("%s: the sums were built from their slices", self._key)
                await self._run(FINISH, epoch, self._window.seconds)
        await self._slide(epoch)

    async def _slide(self, epoch: int) -> None:
        oldest = self._window.oldest_slice(self._now)
        for number in await self._slices(epoch):
            if number < oldest:
                await self._take(epoch, number, "subtract")

    async def _move(self, source: int) -> None:
        oldest = self._window.oldest_slice(self._now)
        for number in await self._slices(source):
            if number < oldest:
                await self._drop(source, number)
            else:
                await self._take(source, number, "move")
        if self._calls > 0:
            await self._run(FORGET, source)

    async def _take(self, epoch: int, number: int, action: str) -> None:
        shard = 0
        while shard >= 0 and self._calls > 0:
            self._calls -= 1
            shard = await self._run(
                TAKE, epoch, number, shard, SLICE_SHARDS, MEMBERS_PER_CALL, action, self._window.slice_ttl
            )

    async def _drop(self, epoch: int, number: int) -> None:
        """Remove a slice of an earlier epoch that has left the window."""
        self._calls -= 1
        parts = (f"{epoch}:{number}:{shard}" for shard in range(SLICE_SHARDS))
        await self._redis.unlink(*(redis_keys.hot_part(self._window.name, part) for part in parts))
        await self._redis.execute_command("HDEL", self._slices_key(epoch), number)

    async def _take_legacy(self, numbers: list[int]) -> None:
        oldest = self._window.oldest_slice(self._now)
        for number in numbers:
            slice_number = self._window.slice_of_legacy(number)
            target = slice_number if slice_number >= oldest else -1
            left = 1
            while left and self._calls > 0:
                self._calls -= 1
                left = await self._run(
                    TAKE_LEGACY, number, target, SLICE_SHARDS, MEMBERS_PER_CALL, self._window.slice_ttl
                )

    async def _slices(self, epoch: int) -> list[int]:
        found: Mapping[Any, Any] = await self._redis.hgetall(self._slices_key(epoch))
        return sorted(int(number) for number in found)

    def _slices_key(self, epoch: int) -> str:
        return redis_keys.hot_part(self._window.name, f"slices:{epoch}")

    async def _run(self, script: Script, *arguments: int | str) -> Any:
        return await script.run(self._redis, [self._key], arguments)
