"""One sync at a time over all workers: a lease in Redis, which fences every step of a sync.

The lease holds the name of the version that its holder writes. That name is never used again, so a worker that lost the
lease without noticing can neither move the pointer nor touch another version's keys.
"""

import struct
import time
from collections.abc import Callable, Sequence

from contracts import redis_keys
from feature_sync.connections import AnyRedis, Script

# Each batch renews it; a batch takes 20 ms, and at most 15 s before its calls time out.
LEASE_SECONDS = 30
# Readers poll the pointer each second, and finish started requests.
GRACE_SECONDS = 60
# Stands for the versions of a release that listed none.
UNLISTED = "*"
SWITCH_KEYS = [redis_keys.SYNC_LEASE, redis_keys.SNAPSHOT_VERSIONS, redis_keys.SNAPSHOT_POINTER]

# Sets `holder`, nil without one. The lease is a hash without a TTL: Redis evicts keys with one when memory runs out.
# An expired lease is deleted, so that no clock that goes back makes it valid again while its version is removed.
HOLDER = """
local now = redis.call('TIME')[1]
local holder = redis.call('HGET', KEYS[1], 'version')
if holder and tonumber(redis.call('HGET', KEYS[1], 'until')) <= tonumber(now) then
  redis.call('DEL', KEYS[1])
  holder = nil
end
"""

# KEYS: lease, versions, users; ARGV: version, seconds, when to look for unlisted versions, their name.
_ACQUIRE = Script(f"""
{HOLDER}
if holder then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'until', now + ARGV[2])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4]) end
redis.call('ZADD', KEYS[2], '+inf', ARGV[1])
redis.call('RPUSH', KEYS[3], '')
return 1
""")
# KEYS: lease, users; ARGV: version, seconds, packed ids.
_EXTEND = Script(f"""
{HOLDER}
if holder ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'until', now + ARGV[2])
if ARGV[3] ~= '' then redis.call('RPUSH', KEYS[2], ARGV[3]) end
return 1
""")
# Of a base of the active version, and later than any time. Not that of a version that is being written.
_AS_BASE = 1e15
# KEYS: lease, versions, pointer, when the active snapshot was made; ARGV: version, when the previous one and its bases
# may be removed, when the snapshot was made, the time of bases, those of the version.
_ACTIVATE = Script(f"""
{HOLDER}
if holder ~= ARGV[1] then return 0 end
local previous = redis.call('GET', KEYS[3])
if previous and previous ~= ARGV[1] then redis.call('ZADD', KEYS[2], ARGV[2], previous) end
for _, base in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[4], ARGV[4])) do
  redis.call('ZADD', KEYS[2], ARGV[2], base)
end
for i = 5, #ARGV do redis.call('ZADD', KEYS[2], ARGV[4], ARGV[i]) end
redis.call('SET', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4])
redis.call('HSET', KEYS[4], ARGV[1], ARGV[3])
return 1
""")
# A registered version without the lease may be removed. One that is not registered any more was removed while this
# worker was without answer, and it may have written a batch since.
# KEYS: lease, versions, pointer; ARGV: version.
_RELEASE = Script("""
if redis.call('HGET', KEYS[1], 'version') == ARGV[1] then redis.call('DEL', KEYS[1]) end
if redis.call('GET', KEYS[3]) ~= ARGV[1] and not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
end
""")


class LeaseLostError(RuntimeError):
    """The worker made no progress for `LEASE_SECONDS`, and another sync may have begun; start this one again."""


class SyncLease:
    """The right to write one version; `clock` is in seconds since the epoch."""

    def __init__(self, redis: AnyRedis, version: str, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._version = version
        self._clock = clock
        self._users = redis_keys.snapshot_users(version)

    async def acquire(self) -> bool:
        """Take the lease, and register the version; False while another sync has it."""
        keys = [redis_keys.SYNC_LEASE, redis_keys.SNAPSHOT_VERSIONS, self._users]
        arguments = [self._version, LEASE_SECONDS, self._clock() + GRACE_SECONDS, UNLISTED]
        return bool(await _ACQUIRE.run(self._redis, keys, arguments))

    async def extend(self, users: Sequence[int] = ()) -> None:
        """Renew the lease, and register users before they are written; raises `LeaseLostError`."""
        packed = struct.pack(f"<{len(users)}q", *users)
        arguments = [self._version, LEASE_SECONDS, packed]
        self._check(await _EXTEND.run(self._redis, [redis_keys.SYNC_LEASE, self._users], arguments))

    async def activate(self, created_at: float, bases: Sequence[str] = ()) -> None:
        """Move the pointer to the version, whose snapshot was made at `created_at` (Unix time).

        Its bases stay as long as it is active. Raises `LeaseLostError`.
        """
        keys = [*SWITCH_KEYS, redis_keys.SNAPSHOT_CREATED]
        arguments = [self._version, self._clock() + GRACE_SECONDS, created_at, _AS_BASE, *bases]
        self._check(await _ACTIVATE.run(self._redis, keys, arguments))

    async def release(self) -> None:
        """End the sync; a version that did not become active may be removed from now on."""
        await _RELEASE.run(self._redis, SWITCH_KEYS, [self._version])

    def _check(self, held: object) -> None:
        if not held:
            raise LeaseLostError(
                f"{self._version}: no progress for {LEASE_SECONDS} s, so the sync lost its lease; sync again"
            )
