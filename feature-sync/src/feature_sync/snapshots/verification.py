"""Compares the active version in Redis with the files of a snapshot."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

import monitoring
from contracts import redis_keys
from contracts.ids import is_numeric_id
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
from feature_sync.snapshots.chain import content_of, get_users, read_chain
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
        chain = await read_chain(self._redis)
        active = chain[0] if chain else None
        expected = content_name(snapshot.manifest)
        found = Verification(snapshot=monitoring.redacted(address), active=active, expected=expected)
        if active is None or content_of(active) != expected:
            return found
        found.same_content = True
        await self._compare_schema(chain, snapshot, found)
        users = await self._compare_users(chain, snapshot, found)
        keys = await self._find_foreign(chain, users, found)
        await self._find_unlisted(chain, users, keys, found.unlisted)
        if await read_chain(self._redis) != chain:
            raise SnapshotChangedError(f"{active} was replaced while it was compared: verify again")
        return found

    async def _compare_schema(self, chain: Sequence[str], snapshot: FetchedSnapshot, found: Verification) -> None:
        wanted = schema_values(chain[0], snapshot.manifest, chain[1:])
        _compare(list(wanted), list(wanted.values()), await get_many(self._redis, list(wanted)), found)

    async def _compare_users(
        self, chain: Sequence[str], snapshot: FetchedSnapshot, found: Verification
    ) -> NDArray[np.int64]:
        """Compare the users of the files; return them, sorted."""
        parts: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        async for batch in batches_without_forgotten(snapshot, self._marks):
            ids = [user for user, _ in batch]
            keys = [redis_keys.user_features(chain[0], user) for user in ids]
            _compare(keys, [blob for _, blob in batch], await get_users(self._redis, chain, ids), found)
            parts.append(np.array(ids, np.int64))
        users = np.unique(np.concatenate(parts))
        found.users = len(users)
        return users

    async def _find_foreign(
        self, chain: Sequence[str], users: NDArray[np.int64], found: Verification
    ) -> list[NDArray[np.int64]]:
        """Find keys that neither the files nor the list of versions know; return the users of each version."""
        keys_of: dict[str, list[int]] = {version: [] for version in chain}
        heads = {head for version in chain for head in redis_keys.snapshot_heads(version)}
        async for keys in self._pages("fs:*:*"):
            # Read after the keys were found: a version is registered before its first key is written.
            known = await self._known_versions()
            strangers: list[int] = []
            for key in keys:
                version = key.split(":", 2)[1]
                prefix = redis_keys.user_features(version, 0)[:-1]
                user = _parse_user(key.removeprefix(prefix))
                found.keys += version in keys_of and key.startswith(prefix)
                if version not in keys_of:
                    # Without lists of an earlier release, it is not known which keys may be there.
                    if UNLISTED not in known and version not in known:
                        found.foreign.note(key)
                elif user is not None:
                    keys_of[version].append(user)
                    if not _is_in(users, user):
                        strangers.append(user)
                elif key not in heads:
                    found.foreign.note(key)
            # A removed user has no state, but keys.
            for user, state in zip(strangers, await get_users(self._redis, chain, strangers), strict=True):
                if state is not None:
                    found.foreign.note(redis_keys.user_features(chain[0], user))
        return [np.array(ids, np.int64) for ids in keys_of.values()]

    async def _find_unlisted(
        self,
        chain: Sequence[str],
        users: NDArray[np.int64],
        keys: Sequence[NDArray[np.int64]],
        unlisted: KeyDifferences,
    ) -> None:
        for version, held in zip(chain, keys, strict=True):
            parts = [np.array(ids, np.int64) async for ids in listed_users(self._redis, version)]
            listed = np.concatenate([np.empty(0, np.int64), *parts])
            for user in np.setdiff1d(np.intersect1d(held, users), listed).tolist():
                unlisted.note(redis_keys.user_features(version, user))

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


def _parse_user(text: str) -> int | None:
    """Return the user that the end of a key names, None if it names none."""
    return int(text) if is_numeric_id(text) else None


def _is_in(users: NDArray[np.int64], user: int) -> bool:
    place = int(np.searchsorted(users, user))
    return place < len(users) and bool(users[place] == user)
