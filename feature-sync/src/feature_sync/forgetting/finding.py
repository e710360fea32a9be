"""Finds what Redis holds about a user."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any

from redis.exceptions import ResponseError

from contracts import redis_keys
from feature_sync.connections import AnyRedis, get_many
from feature_sync.events.dead_letters import entry_of
from feature_sync.forgetting.mentions import is_about
from feature_sync.snapshots.lease import UNLISTED

# The streams whose entries may be about a user.
EVENT_STREAMS = (redis_keys.EVENT_STREAM, redis_keys.REPEATED_EVENTS, redis_keys.SERVED_STREAM)
_PAGE = 500
_SCAN = 1000

Entries = dict[bytes, Mapping[bytes, bytes]]


async def entries_about(redis: AnyRedis, stream: str, user_id: int, moment: float) -> AsyncIterator[Entries]:
    """Yield the entries of a stream about a user from before a moment (Unix time), page by page; pages may be empty.

    Of the entries that are there at the beginning. There are none in a key of another type.
    """
    newest = await or_nothing(redis.xrevrange(stream, count=1))
    first, last = b"-", newest[0][0] if newest else b"0"
    while True:
        page: Any = await redis.xrange(stream, min=first, max=last, count=_PAGE)
        if not page:
            return
        # A dead letter's own id says when it became one.
        yield {
            entry_id: fields
            for entry_id, fields in page
            if is_about(entry_of(fields) or entry_id, fields, user_id, moment)
        }
        first = b"(" + page[-1][0]


async def or_nothing(reading: Awaitable[Any]) -> Any:
    """Return what is read, an empty list from a key of another type; raises other errors of Redis."""
    try:
        return await reading
    except ResponseError as error:
        if str(error).startswith("WRONGTYPE"):
            return []
        raise


async def snapshot_versions(redis: AnyRedis) -> set[str]:
    """Return the versions that may have keys; `UNLISTED` stands for unknown ones of an earlier release."""
    listed = await or_nothing(redis.zrange(redis_keys.SNAPSHOT_VERSIONS, 0, -1))
    (active,) = await get_many(redis, [redis_keys.SNAPSHOT_POINTER])
    return {name.decode("utf-8", "replace") for name in (*listed, active) if name is not None}


async def snapshot_keys(redis: AnyRedis, user_id: int) -> list[str]:
    """Return the keys that a user may have in snapshots."""
    versions = await snapshot_versions(redis)
    keys = {redis_keys.user_features(version, user_id) for version in versions - {UNLISTED}}
    if UNLISTED in versions:
        async for page in keys_matching(redis, redis_keys.user_features("*", user_id)):
            keys |= {key.decode("utf-8", "replace") for key in page}
    return sorted(keys)


async def keys_matching(redis: AnyRedis, pattern: str) -> AsyncIterator[list[bytes]]:
    """Yield the keys that match a pattern, page by page."""
    keys: list[bytes] = []
    async for key in redis.scan_iter(match=pattern, count=_SCAN):
        keys.append(key)
        if len(keys) == _SCAN:
            yield keys
            keys = []
    yield keys
