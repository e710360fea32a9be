"""The list of the users that have keys in a version."""

import struct
from collections.abc import AsyncIterator
from typing import Any

from contracts import redis_keys
from feature_sync.connections import AnyRedis


async def listed_users(redis: AnyRedis, version: str) -> AsyncIterator[tuple[int, ...]]:
    """Yield the listed users of a version, batch by batch as they were written."""
    key, index = redis_keys.snapshot_users(version), 0
    while (packed := await _element(redis, key, index)) is not None:
        yield struct.unpack(f"<{len(packed) // 8}q", packed)
        index += 1


async def _element(redis: AnyRedis, key: str, index: int) -> bytes | None:
    element: Any = await redis.lindex(key, index)
    return None if element is None else bytes(element)
