"""The switch in Redis: a new version is written beside the active one, verified, and then the pointer is moved."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from contracts import redis_keys
from feature_sync.connections import AnyRedis, get_many, put_many

# Readers poll the pointer each second, and finish started requests.
GRACE_SECONDS = 60
_SCAN = 5000


class IncompleteSnapshotError(RuntimeError):
    """Redis doesn't contain all written data; the pointer was not moved."""


@dataclass
class Progress:
    """The progress of a sync: users written, of users in all."""

    written: int = 0
    total: int = 0


class SnapshotSwitch:
    """Writes and activates versions. After an interruption at any point the previous version stays active."""

    def __init__(self, redis: AnyRedis) -> None:
        self._redis = redis

    async def active(self) -> str | None:
        """Return the active version."""
        pointer: Any = await self._redis.get(redis_keys.SNAPSHOT_POINTER)
        return None if pointer is None else pointer.decode("utf-8", "replace")

    async def write(
        self, version: str, schema: str, batches: Iterable[list[tuple[int, bytes]]], progress: Progress
    ) -> None:
        """Write all users of a version, and read each batch back; raises `IncompleteSnapshotError`."""
        await self._redis.set(redis_keys.snapshot_schema(version), schema)
        for batch in batches:
            blobs = {redis_keys.user_features(version, user): blob for user, blob in batch}
            await put_many(self._redis, blobs)
            stored = await get_many(self._redis, list(blobs))
            if stored != list(blobs.values()):
                raise IncompleteSnapshotError(f"{version}: Redis doesn't contain what was written to it")
            progress.written += len(batch)
        if progress.written != progress.total:
            raise IncompleteSnapshotError(f"{version}: {progress.written} users, the manifest says {progress.total}")

    async def activate(self, version: str) -> None:
        """Move the pointer; from the next poll on, readers read the new version."""
        await self._redis.set(redis_keys.SNAPSHOT_POINTER, version)

    async def retire_others(self, version: str) -> int:
        """Set a TTL on every other version's keys, including those of interrupted syncs; return their number."""
        mine = (redis_keys.user_features(version, 0)[:-1].encode(), redis_keys.snapshot_schema(version).encode())
        retired = 0
        async for keys in self._snapshot_keys():
            others = [key for key in keys if not key.startswith(mine)]
            if others:
                pipeline = self._redis.pipeline(transaction=False)
                for key in others:
                    # Keys that already have a TTL are left out.
                    pipeline.expire(key, GRACE_SECONDS, nx=True)
                await pipeline.execute()
            retired += len(others)
        return retired

    async def _snapshot_keys(self) -> AsyncIterator[list[bytes]]:
        keys: list[bytes] = []
        async for key in self._redis.scan_iter(match="fs:*:*", count=_SCAN):
            keys.append(key)
            if len(keys) == _SCAN:
                yield keys
                keys = []
        yield keys
