"""Compares the active version in Redis with the files of a snapshot."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

import monitoring
from contracts import redis_keys
from contracts.snapshot import MalformedSnapshotError, content_name
from feature_sync.connections import REDIS_ERRORS, AnyRedis, get_many
from feature_sync.errors import (
    NoSyncedSnapshotError,
    SnapshotChangedError,
    SnapshotsUnavailableError,
    UnusableSnapshotError,
)
from feature_sync.marks import Marks
from feature_sync.snapshots.bodies import KeyDifferences, Verification
from feature_sync.snapshots.job_store import JobStore
from feature_sync.snapshots.lease import UNLISTED
from feature_sync.snapshots.listed_users import listed_users
from feature_sync.snapshots.source import FetchedSnapshot, fetch_snapshot
from feature_sync.snapshots.switch import batches_without_forgotten, schema_values

_SCAN = 1000


class VerificationService:
    """Runs one verification at a time, for callers over HTTP."""

    def __init__(self, verification: "SnapshotVerification", store: JobStore) -> None:
        self._verification = verification
        self._store = store
        self._lock = asyncio.Lock()

    async def verify(self, address: str | None) -> Verification:
        """Compare with a folder, None for that of the last sync; raises a `ServiceError`."""
        try:
            async with self._lock:
                return await self._verification.verify(await self._last_synced() if address is None else address)
        except MalformedSnapshotError as error:
            raise UnusableSnapshotError(str(error)) from error
        except REDIS_ERRORS as error:
            raise SnapshotsUnavailableError(
                f"Redis doesn't answer ({type(error).__name__}). Retry when it does."
            ) from error

    async def _last_synced(self) -> str:
        last = await self._store.last_done()
        if last is None:
            raise NoSyncedSnapshotError("No sync is known that succeeded: name the folder of the snapshot.")
        return last.snapshot


class SnapshotVerification:
    """Reads everything and writes nothing. Users who were forgotten after the snapshot's events must have no key."""

    def __init__(self, redis: AnyRedis, marks: Callable[[], Marks]) -> None:
        self._redis = redis
        self._marks = marks

    async def verify(self, address: str) -> Verification:
        """Return how the active version compares with a snapshot folder.

        Raises `UnusableSnapshotError`, `MalformedSnapshotError`, `SnapshotChangedError` or an error of Redis.
        """
        fetching = fetch_snapshot(address)
        snapshot = await run_in_threadpool(fetching.__enter__)
        try:
            return await self._verify(address, snapshot)
        finally:
            await run_in_threadpool(fetching.__exit__, None, None, None)

    async def _verify(self, address: str, snapshot: FetchedSnapshot) -> Verification:
        active = await self._active()
        expected = content_name(snapshot.manifest)
        found = Verification(snapshot=monitoring.redacted(address), active=active, expected=expected)
        if active is None or active.rpartition(".")[0] != expected:
            return found
        found.same_content = True
        await self._compare_schema(active, snapshot, found)
        users = await self._compare_users(active, snapshot, found)
        await self._find_foreign(active, users, found)
        await self._find_unlisted(active, users, found.unlisted)
        if await self._active() != active:
            raise SnapshotChangedError(f"{active} was replaced while it was compared: verify again")
        return found

    async def _active(self) -> str | None:
        (pointer,) = await get_many(self._redis, [redis_keys.SNAPSHOT_POINTER])
        return None if pointer is None else pointer.decode("utf-8", "replace")

    async def _compare_schema(self, version: str, snapshot: FetchedSnapshot, found: Verification) -> None:
        wanted = schema_values(version, snapshot.manifest)
        _compare(list(wanted), list(wanted.values()), await get_many(self._redis, list(wanted)), found)

    async def _compare_users(self, version: str, snapshot: FetchedSnapshot, found: Verification) -> NDArray[np.int64]:
        """Compare the users of the files; return them, sorted."""
        parts: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        async for batch in batches_without_forgotten(snapshot, self._marks):
            keys = [redis_keys.user_features(version, user) for user, _ in batch]
            _compare(keys, [blob for _, blob in batch], await get_many(self._redis, keys), found)
            parts.append(np.array([user for user, _ in batch], np.int64))
        users = np.unique(np.concatenate(parts))
        found.users = len(users)
        return users

    async def _find_foreign(self, active: str, users: NDArray[np.int64], found: Verification) -> None:
        """Count the keys of the version, and find those that neither the files nor the list of versions know."""
        prefix = redis_keys.user_features(active, 0)[:-1]
        of_version = {redis_keys.snapshot_schema(active), redis_keys.snapshot_features(active)}
        async for keys in self._pages("fs:*:*"):
            # Read after the keys were found: a version is registered before its first key is written.
            known = await self._known_versions()
            for key in keys:
                if not key.startswith(f"fs:{active}:"):
                    # Without lists of an earlier release, it is not known which keys may be there.
                    if UNLISTED not in known and key.split(":", 2)[1] not in known:
                        found.foreign.note(key)
                elif key.startswith(prefix):
                    found.keys += 1
                    if not _is_in(users, key.removeprefix(prefix)):
                        found.foreign.note(key)
                elif key not in of_version:
                    found.foreign.note(key)

    async def _find_unlisted(self, active: str, users: NDArray[np.int64], unlisted: KeyDifferences) -> None:
        parts = [np.array(ids, np.int64) async for ids in listed_users(self._redis, active)]
        listed = np.concatenate([np.empty(0, np.int64), *parts])
        for user in np.setdiff1d(users, listed, assume_unique=False).tolist():
            unlisted.note(redis_keys.user_features(active, user))

    async def _known_versions(self) -> set[str]:
        versions: Any = await self._redis.zrange(redis_keys.SNAPSHOT_VERSIONS, 0, -1)
        return {version.decode("utf-8", "replace") for version in versions}

    async def _pages(self, pattern: str) -> AsyncIterator[list[str]]:
        keys: list[str] = []
        async for key in self._redis.scan_iter(match=pattern, count=_SCAN):
            keys.append(key.decode("utf-8", "replace"))
            if len(keys) == _SCAN:
                yield keys
                keys = []
        yield keys


def _compare(keys: list[str], wanted: list[bytes], stored: list[bytes | None], found: Verification) -> None:
    for key, value, held in zip(keys, wanted, stored, strict=True):
        if held is None:
            found.missing.note(key)
        elif held != value:
            found.different.note(key)


def _is_in(users: NDArray[np.int64], text: str) -> bool:
    if not text.isascii() or not text.isdigit():
        return False
    place = int(np.searchsorted(users, int(text)))
    return place < len(users) and str(users[place]) == text
