"""A snapshot that says what it changes is written as that, and readers see the same as of one that is written whole."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from contracts import redis_keys
from contracts.snapshot import add_increment, write_snapshot
from contracts.user_blob import History, UserBlob
from feature_sync.connections import RedisFaults, get_many
from feature_sync.forgetting.removal import UserRemoval
from feature_sync.forgetting.state import UserStates
from feature_sync.marks import Marks
from feature_sync.metrics import Metrics
from feature_sync.snapshots.bodies import SyncJob
from feature_sync.snapshots.chain import get_users, read_chain
from feature_sync.snapshots.job_store import JobStore
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.lease import GRACE_SECONDS
from feature_sync.snapshots.retirement import Retirement
from feature_sync.snapshots.source import FetchedSnapshot
from feature_sync.snapshots.switch import Progress, SnapshotSwitch
from feature_sync.snapshots.verification import SnapshotVerification

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC) - timedelta(days=1)
USERS = 2000
# As a hashed id.
LARGEST = 2**63 - 1


def _blob(mark: int) -> bytes:
    return UserBlob(np.full(3, mark, np.float32), History()).pack()


class Nights:
    """Snapshots of successive nights; each changes the marks of some users, and removes those of mark 0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.marks = dict.fromkeys([*range(1, USERS + 1), LARGEST], 1)
        self.number = 0

    def write(self, changes: Mapping[int, int], base: int | None = None) -> Path:
        self.number += 1
        self.marks = {user: mark for user, mark in sorted({**self.marks, **changes}.items()) if mark}
        target = self.folder / f"v{self.number}"
        at = NOW + timedelta(minutes=self.number)
        write_snapshot(target, target.name, at, ((user, _blob(mark)) for user, mark in self.marks.items()))
        if base is not None:
            add_increment(target, self.folder / f"v{base}", 1)
        return target

    def chain_of_three(self) -> list[Path]:
        return [
            self.write({}),
            self.write({1: 2, 2: 2, 3: 0, LARGEST: 2, USERS + 1: 2}, base=1),
            self.write({1: 3, 2: 0, 3: 3, USERS + 1: 0}, base=2),
        ]


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


async def _sync(redis: AsyncRedis, snapshot: Path, switch: SnapshotSwitch | None = None) -> SyncJob:
    jobs = SyncJobs(switch or SnapshotSwitch(redis), JobStore(redis, "one"), RedisFaults("redis://x"), Metrics())
    job = await jobs.submit(str(snapshot))
    await jobs.step()
    assert (job.state, job.error) == ("done", None)
    return job


async def _check(redis: AsyncRedis, nights: Nights) -> None:
    """Compare what readers see with the last night, and let `verify` compare it too."""
    chain = await read_chain(redis)
    users = [*range(1, USERS + 3), LARGEST]
    expected = [_blob(nights.marks[user]) if user in nights.marks else None for user in users]
    assert await get_users(redis, chain, users) == expected
    found = await SnapshotVerification(redis, Marks).verify(str(nights.folder / f"v{nights.number}"))
    assert found.matches, found


def _names(chain: tuple[str, ...]) -> list[str]:
    return [version.split(".")[0] for version in chain]


def _later(redis: AsyncRedis) -> Retirement:
    return Retirement(redis, clock=lambda: time.time() + GRACE_SECONDS + 1)


def _versions_with_keys(plain: Redis) -> set[str]:
    return {key.decode().split(":")[1].split(".")[0] for key in plain.scan_iter("fs:*:*")}


async def test_only_changes_are_written_and_readers_see_the_whole_snapshot(redis: AsyncRedis, nights: Nights) -> None:
    first, second, third = nights.chain_of_three()
    assert (await _sync(redis, first)).base is None
    job = await _sync(redis, second)
    assert (job.users, job.total, (job.base or "").split(".")[0]) == (5, 5, "v1")
    assert (await _sync(redis, third)).users == 4
    assert _names(await read_chain(redis)) == ["v3", "v2", "v1"]
    await _check(redis, nights)


async def test_bases_stay_as_long_as_a_version_needs_them_and_go_after_the_grace(
    redis: AsyncRedis, plain: Redis, nights: Nights
) -> None:
    for snapshot in nights.chain_of_three():
        await _sync(redis, snapshot)
    assert await _later(redis).remove_due() == 1, "the versions of a release that listed no users"
    await _check(redis, nights)
    # On top of the lowest one: the two between are not needed any more.
    await _sync(redis, nights.write({4: 4}, base=1))
    assert _names(await read_chain(redis)) == ["v4", "v1"]
    await Retirement(redis).remove_due()
    assert _versions_with_keys(plain) == {"v1", "v2", "v3", "v4"}, "within the grace, requests may still read them"
    assert await _later(redis).remove_due() == 2
    assert _versions_with_keys(plain) == {"v1", "v4"}
    await _check(redis, nights)
    await _sync(redis, nights.write({5: 5}))
    assert _names(await read_chain(redis)) == ["v5"]
    assert await _later(redis).remove_due() == 2
    assert _versions_with_keys(plain) == {"v5"}
    assert not plain.keys("*bases*")
    await _check(redis, nights)


async def test_without_its_base_in_redis_all_users_are_written(redis: AsyncRedis, plain: Redis, nights: Nights) -> None:
    first, second, third = nights.chain_of_three()
    assert (await _sync(redis, second)).users == USERS + 1, "nothing was active"
    assert (await _sync(redis, third)).users == 4
    await _check(redis, nights)
    assert (await _sync(redis, first)).users == USERS + 1
    assert (await _sync(redis, third)).users == USERS, "another version is active"
    await _check(redis, nights)


@pytest.mark.parametrize("lost", ["some users", "the list"])
async def test_a_base_that_has_lost_keys_is_not_used(
    redis: AsyncRedis, plain: Redis, nights: Nights, lost: str
) -> None:
    first, second, _ = nights.chain_of_three()
    await _sync(redis, first)
    (active,) = await read_chain(redis)
    if lost == "the list":
        plain.delete(redis_keys.snapshot_users(active))
    else:
        plain.delete(*(redis_keys.user_features(active, user) for user in range(1, 500)))
    assert (await _sync(redis, second)).base is None
    assert len(await read_chain(redis)) == 1


async def test_a_chain_again_changes_nothing_and_one_that_lost_a_key_is_written_whole(
    redis: AsyncRedis, plain: Redis, nights: Nights
) -> None:
    for snapshot in (snapshots := nights.chain_of_three()):
        await _sync(redis, snapshot)
    chain = await read_chain(redis)
    await _sync(redis, snapshots[-1])
    assert await read_chain(redis) == chain
    plain.delete(redis_keys.user_features(chain[2], 1500))
    found = await SnapshotVerification(redis, Marks).verify(str(snapshots[-1]))
    assert (found.missing.count, found.different.count, found.foreign.count) == (1, 0, 0)
    await _sync(redis, snapshots[-1])
    assert _names(await read_chain(redis)) == ["v3"]
    await _check(redis, nights)


async def test_verification_finds_each_difference_in_a_chain(redis: AsyncRedis, plain: Redis, nights: Nights) -> None:
    for snapshot in nights.chain_of_three():
        await _sync(redis, snapshot)
    chain = await read_chain(redis)
    key = redis_keys.user_features
    plain.set(key(chain[1], 9), _blob(9))
    plain.set(key(chain[0], 1), b"")
    plain.set(key(chain[2], USERS + 9), _blob(9))
    found = await SnapshotVerification(redis, Marks).verify(str(nights.folder / "v3"))
    assert found.different.examples == [key(chain[0], 9)]
    assert found.missing.examples == [key(chain[0], 1)]
    assert found.foreign.examples == [key(chain[0], USERS + 9)]
    assert found.unlisted.examples == [key(chain[1], 9)]


async def test_another_sync_meanwhile_makes_it_write_all_users(redis: AsyncRedis, nights: Nights) -> None:
    first, second, third = nights.chain_of_three()
    await _sync(redis, first)

    class Overtaken(SnapshotSwitch):
        async def sync(self, snapshot: FetchedSnapshot, progress: Progress) -> None:
            if snapshot.bases:
                await _sync(redis, third)
                await _sync(redis, first)
            await super().sync(snapshot, progress)

    job = await _sync(redis, second, Overtaken(redis))
    assert (job.base, job.users) == (None, USERS + 1)


async def test_a_forgotten_user_of_the_base_comes_back_only_with_a_snapshot_from_after_that(
    redis: AsyncRedis, plain: Redis, nights: Nights
) -> None:
    first, second, third = nights.chain_of_three()
    marks = Marks(b"key", 1)
    switch = SnapshotSwitch(redis, marks=lambda: marks)
    await _sync(redis, first, switch)
    await _sync(redis, second, switch)
    # Between the second and the third night.
    moment = (NOW + timedelta(minutes=2.5)).timestamp()
    removed = await UserRemoval(redis).remove(1, moment)
    assert removed.snapshots == 2, "a key in each version"
    marks = Marks(b"key", 1, {marks.hash_user(1): moment})
    assert await get_users(redis, await read_chain(redis), [1]) == [None]
    job = await _sync(redis, third, switch)
    assert job.base is None, "the user may be in the snapshot without a change since"
    await _check(redis, nights)


async def test_the_state_of_a_user_names_the_version_that_is_read(redis: AsyncRedis, nights: Nights) -> None:
    for snapshot in nights.chain_of_three():
        await _sync(redis, snapshot)
    states = UserStates(redis, time.time)

    async def held(user: int) -> dict[str, bool]:
        state = await states.read(user, None)
        assert state.malformed_keys == []
        return {each.version.split(".")[0]: each.is_active for each in state.snapshots}

    assert await held(1) == {"v1": False, "v2": False, "v3": True}
    assert await held(LARGEST) == {"v1": False, "v2": True}
    assert await held(7) == {"v1": True}
    assert await held(2) == {"v1": False, "v2": False}, "removed by the third"
    assert await held(3) == {"v1": False, "v3": True}, "removed by the second, back by the third"


class _Reader(threading.Thread):
    """Reads the active version and its bases in one MGET, as the API does, and notes what no night had."""

    def __init__(self, url: str, nights: list[dict[int, int]]) -> None:
        super().__init__()
        self.torn: list[str] = []
        self.seen: set[str] = set()
        self._redis = Redis.from_url(url, socket_timeout=5)
        self._nights = nights
        self._stopped = threading.Event()

    def run(self) -> None:
        users = [1, 2, 3, 4, 5, 1500, LARGEST, USERS + 1]
        while not self._stopped.is_set():
            active = self._redis.get(redis_keys.SNAPSHOT_POINTER).decode()
            bases = (self._redis.get(redis_keys.snapshot_bases(active)) or b"").decode().split()
            for user in users:
                values = self._redis.mget(redis_keys.user_features(version, user) for version in (active, *bases))
                state = next((value for value in values if value is not None), b"") or None
                mark = self._nights[int(active.split(".")[0][1:]) - 1].get(user)
                if state != (None if mark is None else _blob(mark)):
                    self.torn.append(f"{active}: user {user}")
            self.seen.add(active.split(".")[0])

    def has_seen(self, version: str) -> bool:
        return version in self.seen or bool(self.torn)

    def stop(self) -> None:
        self._stopped.set()
        self.join()
        self._redis.close()


async def test_a_reader_never_sees_a_mixture_or_lacks_a_user_over_chains_of_three(
    redis: AsyncRedis, redis_url: str, nights: Nights, until: Callable[..., float]
) -> None:
    snapshots, marks = [], []
    for number, base in enumerate((None, 1, 2, 1, 4, None, 6, 7), start=1):
        removed = {1: 0} if number % 3 == 0 else {}
        snapshots.append(nights.write({1: number, 2: number, number: number, LARGEST: number, **removed}, base=base))
        marks.append(dict(nights.marks))
    await _sync(redis, snapshots[0])
    reader = _Reader(redis_url, marks)
    reader.start()
    try:
        for number, snapshot in enumerate(snapshots, start=1):
            await _sync(redis, snapshot)
            await asyncio.to_thread(until, partial(reader.has_seen, f"v{number}"))
            await Retirement(redis).remove_due()
    finally:
        reader.stop()
    assert reader.torn == []
    assert len(reader.seen) == len(snapshots)
    await _check(redis, nights)


async def test_a_sync_of_changes_that_is_interrupted_leaves_the_chain(
    redis: AsyncRedis, plain: Redis, nights: Nights
) -> None:
    first, second, third = nights.chain_of_three()
    await _sync(redis, first)
    await _sync(redis, second)
    chain = await read_chain(redis)

    class Interrupted(SnapshotSwitch):
        async def _write(self, *arguments: object) -> None:
            await super()._write(*arguments)
            raise KeyboardInterrupt

    jobs = SyncJobs(Interrupted(redis), JobStore(redis, "one"), RedisFaults("redis://x"), Metrics())
    await jobs.submit(str(third))
    with pytest.raises(KeyboardInterrupt):
        await jobs.step()
    await _later(redis).remove_due()
    assert await read_chain(redis) == chain
    assert _versions_with_keys(plain) == {"v1", "v2"}
    assert None not in await get_many(redis, [redis_keys.user_features(chain[1], user) for user in range(1, 1001)])
    await _sync(redis, third)
    await _check(redis, nights)


def test_an_increment_is_synced_over_http_and_says_its_base(
    worker: httpx.Client, nights: Nights, until: Callable[..., float]
) -> None:
    headers = {"Authorization": "Bearer the-token"}

    def state_of(job: str) -> dict[str, Any]:
        return dict(worker.get(f"/sync/{job}", headers=headers).json())

    found = []
    for snapshot in nights.chain_of_three():
        job = worker.post("/sync", json={"snapshot": str(snapshot)}, headers=headers).json()["job"]
        until(lambda job=job: state_of(job)["state"] == "done")
        done = state_of(job)
        found.append((done["users"], (done["base"] or "").split(".")[0]))
    assert found == [(USERS + 1, ""), (5, "v1"), (4, "v2")]
    assert worker.post("/verify", json={}, headers=headers).json()["missing"]["count"] == 0
