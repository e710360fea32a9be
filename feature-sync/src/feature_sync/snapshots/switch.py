"""The switch in Redis: a new version is written beside the active one, verified, and then the pointer is moved."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool

from contracts import redis_keys
from contracts.feature_spec import FEATURE_SPECS
from contracts.snapshot import SnapshotManifest, content_name
from feature_sync.connections import REDIS_ERRORS, AnyRedis, get_many, put_many
from feature_sync.marks import Marks
from feature_sync.snapshots.lease import SyncLease
from feature_sync.snapshots.retirement import Retirement
from feature_sync.snapshots.room import check_room
from feature_sync.snapshots.source import FetchedSnapshot

_WAIT_SECONDS = 0.5


class IncompleteSnapshotError(RuntimeError):
    """Redis doesn't contain all written data; the pointer was not moved."""


@dataclass
class Progress:
    """The progress of a sync: users written, of users in all."""

    written: int = 0
    total: int = 0


class SnapshotSwitch:
    """Writes and activates versions. After an interruption at any point the previous version stays active.

    Users who were forgotten after the snapshot's events are left out.
    """

    def __init__(
        self,
        redis: AnyRedis,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        token: Callable[[int], str] = secrets.token_hex,
        marks: Callable[[], Marks] = Marks,
    ) -> None:
        self._redis = redis
        self._clock = clock
        self._sleep = sleep
        self._token = token
        self._marks = marks
        self._retirement = Retirement(redis, clock)

    async def active(self) -> str | None:
        """Return the active version."""
        pointer: Any = await self._redis.get(redis_keys.SNAPSHOT_POINTER)
        return None if pointer is None else pointer.decode("utf-8", "replace")

    async def sync(self, snapshot: FetchedSnapshot, progress: Progress) -> None:
        """Make a snapshot the active one; nothing is written if it is already.

        Waits while another sync runs. Raises `IncompleteSnapshotError`, `NoRoomError`, `LeaseLostError` or an error of
        Redis; the keys of a version that did not become active are removed then.
        """
        content = content_name(snapshot.manifest)
        version = f"{content}.{self._token(4)}"
        async with self._lease(version) as lease:
            created_at = snapshot.manifest.created_at.timestamp()
            if (active := await self._active_with(content, snapshot, lease)) is not None:
                # The same content as that of an earlier run, but as of now.
                await self._redis.hset(redis_keys.SNAPSHOT_CREATED, active, str(created_at))
                progress.written = snapshot.size.users
                return
            await check_room(self._redis, snapshot.size)
            await self._write(version, snapshot, lease, progress)
            await lease.activate(created_at)

    @asynccontextmanager
    async def _lease(self, version: str) -> AsyncIterator[SyncLease]:
        lease = SyncLease(self._redis, version, self._clock)
        await self._retirement.remove_due()
        while not await lease.acquire():
            await self._sleep(_WAIT_SECONDS)
            await self._retirement.remove_due()
        try:
            yield lease
        finally:
            # Without Redis the lease expires, and whoever looks for killed syncs then removes the keys.
            with suppress(*REDIS_ERRORS):
                await lease.release()
                await self._retirement.remove_due()

    async def _active_with(self, content: str, snapshot: FetchedSnapshot, lease: SyncLease) -> str | None:
        """Return the active version if it has this content, and all of its keys: a cluster's node may lose some."""
        active = await self.active()
        if active is None or active.rpartition(".")[0] != content:
            return None
        async for batch in batches_without_forgotten(snapshot, self._marks):
            await lease.extend()
            stored = await get_many(self._redis, [redis_keys.user_features(active, user) for user, _ in batch])
            if stored != [blob for _, blob in batch]:
                return None
        wanted = schema_values(active, snapshot.manifest)
        return active if await get_many(self._redis, list(wanted)) == list(wanted.values()) else None

    async def _write(self, version: str, snapshot: FetchedSnapshot, lease: SyncLease, progress: Progress) -> None:
        """Write all users of a version, and read each batch back."""
        await lease.extend()
        await put_many(self._redis, schema_values(version, snapshot.manifest))
        async for batch in batches_without_forgotten(snapshot, self._marks):
            await lease.extend([user for user, _ in batch])
            blobs = {redis_keys.user_features(version, user): blob for user, blob in batch}
            await put_many(self._redis, blobs)
            if await get_many(self._redis, list(blobs)) != list(blobs.values()):
                raise IncompleteSnapshotError(f"{version}: Redis doesn't contain what was written to it")
            progress.written += len(batch)


async def batches_without_forgotten(
    snapshot: FetchedSnapshot, marks: Callable[[], Marks]
) -> AsyncIterator[list[tuple[int, bytes]]]:
    """Yield the users in batches, decoded in a thread so that events go on."""
    manifest = snapshot.manifest
    until = (manifest.events_until or manifest.created_at).timestamp()
    batches = snapshot.batches()
    known = forgotten = Marks()
    while (batch := await run_in_threadpool(next, batches, None)) is not None:
        # Read each time: a user may be forgotten during a sync.
        if (current := marks()) is not known:
            known, forgotten = current, current.later_than(until)
        if kept := [each for each in batch if not forgotten.moment_of(each[0])]:
            yield kept


def schema_values(version: str, manifest: SnapshotManifest) -> dict[str, bytes]:
    """Return the keys that say which features the blobs of a version have."""
    values = {redis_keys.snapshot_schema(version): manifest.feature_schema.encode()}
    if manifest.user_features is not None:
        values[redis_keys.snapshot_features(version)] = FEATURE_SPECS.dump_json(manifest.user_features)
    return values
