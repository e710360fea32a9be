"""Removes the keys of versions that no reader needs: replaced ones, and those of failed or killed syncs."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from contracts import redis_keys
from feature_sync.connections import AnyRedis, Script, unlink_many
from feature_sync.snapshots.lease import HOLDER, SWITCH_KEYS
from feature_sync.snapshots.listed_users import listed_users

# Redis deletes a batch in half a millisecond, and answers others during the pause.
_BATCH = 250
_PAUSE_SECONDS = 0.005
_SCAN = 1000

# A version that is neither active nor being written belongs to a sync that was killed.
# KEYS: lease, versions, pointer; ARGV: now.
_COLLECT = Script(f"""
{HOLDER}
local active = redis.call('GET', KEYS[3])
local due = {{}}
for _, version in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '+inf', '+inf')) do
  if version ~= holder and version ~= active then due[#due + 1] = version end
end
for _, version in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])) do
  if version ~= active then due[#due + 1] = version end
end
return due
""")
# KEYS: versions, users; ARGV: version.
_FORGET = Script("""
redis.call('UNLINK', KEYS[2])
redis.call('ZREM', KEYS[1], ARGV[1])
""")


class Retirement:
    """Removes versions; any number of workers may do so at once. `clock` is in seconds since the epoch."""

    def __init__(
        self,
        redis: AnyRedis,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._redis = redis
        self._clock = clock
        self._sleep = sleep

    async def remove_due(self) -> int:
        """Remove every version whose time has come; return their number."""
        due: list[bytes] = await _COLLECT.run(self._redis, SWITCH_KEYS, [self._clock()])
        for version in due:
            await self._remove(version)
        return len(due)

    async def _remove(self, name: bytes) -> None:
        version = name.decode("utf-8", "replace")
        users = redis_keys.snapshot_users(version)
        if await self._redis.exists(users):
            await self._unlink(redis_keys.snapshot_heads(version))
            async for ids in listed_users(self._redis, version):
                await self._unlink([redis_keys.user_features(version, user) for user in ids])
        else:
            await self._remove_unlisted(name)
        await _FORGET.run(self._redis, [redis_keys.SNAPSHOT_VERSIONS, users], [name])

    async def _remove_unlisted(self, name: bytes) -> None:
        """Remove a version without a list of users, and all that no list names: an earlier release wrote none."""
        async for keys in self._scan():
            # Read after the keys were found: a version is registered before its first key is written.
            known = {*await self._known()} - {name}
            await self._unlink([key for key in keys if key.split(b":", 2)[1] not in known])

    async def _known(self) -> list[bytes]:
        versions: Any = await self._redis.zrange(redis_keys.SNAPSHOT_VERSIONS, 0, -1)
        active: Any = await self._redis.get(redis_keys.SNAPSHOT_POINTER)
        return [*versions, active]

    async def _scan(self) -> AsyncIterator[list[bytes]]:
        keys: list[bytes] = []
        async for key in self._redis.scan_iter(match="fs:*:*", count=_SCAN):
            keys.append(key)
            if len(keys) == _SCAN:
                yield keys
                keys = []
        yield keys

    async def _unlink(self, keys: list[Any]) -> None:
        for start in range(0, len(keys), _BATCH):
            await unlink_many(self._redis, keys[start : start + _BATCH])
            await self._sleep(_PAUSE_SECONDS)
