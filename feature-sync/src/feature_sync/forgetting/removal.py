"""Removes a user from Redis. Every step may be repeated."""

import struct
from dataclasses import asdict, dataclass

from contracts import redis_keys
from contracts.user_blob import MalformedBlobError
from feature_sync.connections import AnyRedis, Script, get_many, unlink_many
from feature_sync.events.histories import remove_before
from feature_sync.forgetting.finding import (
    EVENT_STREAMS,
    entries_about,
    keys_matching,
    or_nothing,
    snapshot_keys,
    snapshot_versions,
)

_LIST_PAGE = 50

# KEYS: a live history. ARGV: the old one, the new one. Returns whether it was replaced. A key of another type is
# deleted.
_REPLACE = Script("""
local held = redis.pcall('GET', KEYS[1])
if type(held) ~= 'table' then
  if (held or '') ~= ARGV[1] then return 0 end
  if ARGV[2] ~= '' then
    redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
    return 1
  end
end
redis.call('UNLINK', KEYS[1])
return 1
""")
# KEYS: the users of a version. ARGV: a place, the old element, the new one. Its place stays: others read by it.
_SET_ELEMENT = Script("""
if redis.call('LINDEX', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('LSET', KEYS[1], ARGV[1], ARGV[3])
return 1
""")


@dataclass
class RemovedFromRedis:
    """What was removed: entries of streams, interactions of the live history, keys of snapshots and of answers."""

    stream_entries: int = 0
    dead_letters: int = 0
    live_interactions: int = 0
    snapshots: int = 0
    cached_answers: int = 0

    def counts(self) -> dict[str, int]:
        """Return the numbers by name."""
        return asdict(self)


class UserRemoval:
    """Removes what lies in Redis about a user."""

    def __init__(self, redis: AnyRedis) -> None:
        self._redis = redis

    async def remove(self, user_id: int, moment: float) -> RemovedFromRedis:
        """Remove all from before a moment (Unix time); raises an error of Redis."""
        removed = RemovedFromRedis()
        for stream in EVENT_STREAMS:
            removed.stream_entries += await self._remove_entries(stream, user_id, moment)
        removed.dead_letters = await self._remove_entries(redis_keys.DEAD_LETTERS, user_id, moment)
        removed.live_interactions = await self._remove_live(user_id, int(moment))
        removed.cached_answers = await self._remove_answers(user_id)
        removed.snapshots = await self._remove_snapshots(user_id)
        return removed

    async def _remove_entries(self, stream: str, user_id: int, moment: float) -> int:
        removed = 0
        async for found in entries_about(self._redis, stream, user_id, moment):
            if found:
                removed += int(await self._redis.xdel(stream, *found))
        return removed

    async def _remove_live(self, user_id: int, moment: int) -> int:
        key = redis_keys.live_history(user_id)
        while True:
            old = (await get_many(self._redis, [key]))[0] or b""
            try:
                new, removed = remove_before(old, moment)
            except MalformedBlobError:
                new, removed = b"", int(bool(old))
            if (old and new == old) or await _REPLACE.run(self._redis, [key], [old, new]):
                return removed

    async def _remove_snapshots(self, user_id: int) -> int:
        for version in await snapshot_versions(self._redis):
            await self._remove_from_list(redis_keys.snapshot_users(version), user_id)
        return sum([int(await self._redis.unlink(key)) for key in await snapshot_keys(self._redis, user_id)])

    async def _remove_from_list(self, key: str, user_id: int) -> None:
        start = 0
        while True:
            page = await or_nothing(self._redis.lrange(key, start, start + _LIST_PAGE - 1))
            if not page:
                return
            # Only another removal changes an element.
            is_unchanged = True
            for place, packed in enumerate(page, start):
                if (rest := _without(packed, user_id)) != packed:
                    is_unchanged &= await _SET_ELEMENT.run(self._redis, [key], [place, packed, rest]) == 1
            if is_unchanged:
                start += len(page)

    async def _remove_answers(self, user_id: int) -> int:
        # A scan may return a key twice.
        removed: set[bytes] = set()
        async for keys in keys_matching(self._redis, redis_keys.answers_of(user_id)):
            await unlink_many(self._redis, keys)
            removed.update(keys)
        return len(removed)


def _without(packed: bytes, user_id: int) -> bytes:
    """Return packed int64 ids without one."""
    one = struct.pack("<q", user_id)
    if one not in packed:
        return packed
    return b"".join(packed[at : at + 8] for at in range(0, len(packed), 8) if packed[at : at + 8] != one)
