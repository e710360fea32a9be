"""One sync at a time over all workers, a lost lease stops its holder, and nothing of a failed sync stays in Redis."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import OutOfMemoryError

from contracts import redis_keys
from contracts.snapshot import write_snapshot
from feature_sync.app import create_app
from feature_sync.connections import RedisFaults
from feature_sync.metrics import Metrics
from feature_sync.settings import Settings
from feature_sync.snapshots.job_store import JobStore
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.lease import GRACE_SECONDS, LEASE_SECONDS, LeaseLostError, SyncLease
from feature_sync.snapshots.retirement import Retirement
from feature_sync.snapshots.room import SnapshotSize
from feature_sync.snapshots.source import FetchedSnapshot, fetch_snapshot
from feature_sync.snapshots.switch import Progress, SnapshotSwitch
from localservers.waiting import wait_until
from testkit.redis_server import changed_settings
from testkit.serving import Served

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
USERS = 3000


class Interrupted(FetchedSnapshot):
    """A snapshot during whose reading something happens, after the first of its batches."""

    def batches(self) -> Iterator[list[tuple[int, bytes]]]:
        for number, batch in enumerate(super().batches()):
            if number == 1:
                self.happen()
            yield batch

    def happen(self) -> None:
        raise RuntimeError("in the middle")


@pytest.fixture
def snapshot(tmp_path: Path) -> Iterator[FetchedSnapshot]:
    write_snapshot(tmp_path / "v1", "v1", NOW, [(user, b"one %d" % user) for user in range(1, USERS + 1)])
    with fetch_snapshot(str(tmp_path / "v1")) as fetched:
        yield fetched


@pytest.fixture
def another(tmp_path: Path) -> Iterator[FetchedSnapshot]:
    write_snapshot(tmp_path / "v2", "v2", NOW, [(user, b"two %d" % user) for user in range(1, USERS + 1)])
    with fetch_snapshot(str(tmp_path / "v2")) as fetched:
        yield fetched


def _versions_with_keys(plain: Redis) -> set[str]:
    return {key.decode().split(":")[1].split(".")[0] for key in plain.scan_iter("fs:*:*")}


async def test_a_sync_waits_while_another_worker_syncs(
    redis: AsyncRedis, plain: Redis, snapshot: FetchedSnapshot
) -> None:
    assert await SyncLease(redis, "v0.other").acquire()
    waited = asyncio.Event()

    async def wait(_: float) -> None:
        waited.set()
        await asyncio.sleep(0.01)

    sync = asyncio.create_task(SnapshotSwitch(redis, sleep=wait).sync(snapshot, Progress()))
    await asyncio.wait([sync, asyncio.ensure_future(waited.wait())], return_when=asyncio.FIRST_COMPLETED)
    assert _versions_with_keys(plain) == set()
    await SyncLease(redis, "v0.other").release()
    await sync
    assert _versions_with_keys(plain) == {"v1"}


async def test_the_lease_of_a_dead_worker_expires_and_its_keys_are_removed(
    redis: AsyncRedis, plain: Redis, snapshot: FetchedSnapshot
) -> None:
    dead = SyncLease(redis, "v0.dead")
    assert await dead.acquire()
    await dead.extend(range(1, 1001))
    plain.mset({redis_keys.user_features("v0.dead", user): b"x" for user in range(1, 901)})
    until = int(plain.hget(redis_keys.SYNC_LEASE, "until"))
    assert 0 < until - plain.time()[0] <= LEASE_SECONDS
    assert await Retirement(redis).remove_due() == 0, "it may be alive"
    plain.hset(redis_keys.SYNC_LEASE, "until", until - LEASE_SECONDS)
    with pytest.raises(LeaseLostError):
        await dead.extend()
    await SnapshotSwitch(redis).sync(snapshot, Progress())
    assert _versions_with_keys(plain) == {"v1"}
    assert not plain.exists(redis_keys.snapshot_users("v0.dead"))


async def test_an_expired_lease_is_never_valid_again(redis: AsyncRedis, plain: Redis) -> None:
    """Its version may be half removed, and a failover may lead to a server whose clock is behind."""
    expired = SyncLease(redis, "v0.expired")
    assert await expired.acquire()
    until = plain.hget(redis_keys.SYNC_LEASE, "until")
    plain.hset(redis_keys.SYNC_LEASE, "until", plain.time()[0])
    assert await Retirement(redis).remove_due() == 1
    plain.hset(redis_keys.SYNC_LEASE, "until", until)
    with pytest.raises(LeaseLostError):
        await expired.activate(0.0)
    assert plain.get(redis_keys.SNAPSHOT_POINTER) is None


async def test_a_worker_removes_the_keys_of_a_killed_sync_without_another_sync(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    killed = SyncLease(redis, "v0.killed")
    assert await killed.acquire()
    await killed.extend([7])
    plain.set(redis_keys.user_features("v0.killed", 7), b"x")
    plain.hset(redis_keys.SYNC_LEASE, "until", plain.time()[0])
    settings = Settings(
        redis_url=SecretStr(redis_url),
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        admin_token=SecretStr("the-token"),
    )
    with Served(create_app(settings)):
        await asyncio.to_thread(
            wait_until, lambda: not _versions_with_keys(plain), within=60, what="the keys are removed"
        )


async def test_a_worker_that_lost_its_lease_changes_nothing_of_the_next_one(
    redis: AsyncRedis, plain: Redis, snapshot: FetchedSnapshot, another: FetchedSnapshot
) -> None:
    """It was stopped for longer than the lease, in which another worker has synced; then it goes on."""

    class Stopped(Interrupted):
        def happen(self) -> None:
            plain.hset(redis_keys.SYNC_LEASE, "until", plain.time()[0])
            asyncio.run_coroutine_threadsafe(SnapshotSwitch(redis).sync(another, Progress()), loop).result(30)

    loop = asyncio.get_running_loop()
    stopped = Stopped(snapshot.folder, snapshot.manifest, snapshot.size)
    with pytest.raises(LeaseLostError, match=r"^v1\."):
        await SnapshotSwitch(redis).sync(stopped, Progress())
    assert (await SnapshotSwitch(redis).active() or "").startswith("v2.")
    assert _versions_with_keys(plain) == {"v2"}
    assert len(plain.keys("fs:v2.*")) == USERS + 2


async def test_a_batch_that_a_worker_writes_after_its_keys_were_removed_is_removed_too(
    redis: AsyncRedis, plain: Redis, snapshot: FetchedSnapshot
) -> None:
    lost = SyncLease(redis, "v0.lost")
    assert await lost.acquire()
    await lost.extend([7])
    plain.hset(redis_keys.SYNC_LEASE, "until", plain.time()[0])
    await SnapshotSwitch(redis).sync(snapshot, Progress())
    plain.set(redis_keys.user_features("v0.lost", 7), b"late")
    with pytest.raises(LeaseLostError):
        await lost.activate(0.0)
    await lost.release()
    await Retirement(redis).remove_due()
    assert _versions_with_keys(plain) == {"v1"}
    assert len(plain.keys("fs:v1.*")) == USERS + 2


async def test_a_failed_sync_removes_its_own_keys_and_frees_the_lease(
    redis: AsyncRedis, plain: Redis, snapshot: FetchedSnapshot, another: FetchedSnapshot
) -> None:
    await SnapshotSwitch(redis).sync(another, Progress())
    broken = Interrupted(snapshot.folder, snapshot.manifest, snapshot.size)
    progress = Progress()
    with pytest.raises(RuntimeError, match="in the middle"):
        await SnapshotSwitch(redis).sync(broken, progress)
    assert progress.written == 1000
    assert _versions_with_keys(plain) == {"v2"}
    assert not plain.exists(redis_keys.SYNC_LEASE)


async def test_a_cancelled_sync_frees_the_lease_and_another_worker_removes_its_keys(
    redis: AsyncRedis, plain: Redis, snapshot: FetchedSnapshot
) -> None:
    class Cancelled(Interrupted):
        def happen(self) -> None:
            loop.call_soon_threadsafe(task.cancel)
            time.sleep(0.01)

    loop = asyncio.get_running_loop()
    cancelled = Cancelled(snapshot.folder, snapshot.manifest, snapshot.size)
    task = asyncio.create_task(SnapshotSwitch(redis).sync(cancelled, Progress()))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not plain.exists(redis_keys.SYNC_LEASE)
    await Retirement(redis).remove_due()
    assert _versions_with_keys(plain) == set()


async def test_a_sync_past_maxmemory_removes_its_keys(
    redis: AsyncRedis, plain: Redis, snapshot: FetchedSnapshot
) -> None:
    """Also when Redis rejects all writes, which need memory."""

    class Filled(Interrupted):
        def happen(self) -> None:
            plain.config_set("maxmemory", 1)

    with changed_settings(plain, plain.config_get("maxmemory")):
        with pytest.raises(OutOfMemoryError):
            await SnapshotSwitch(redis).sync(Filled(snapshot.folder, snapshot.manifest, snapshot.size), Progress())
        assert _versions_with_keys(plain) == set()
        assert not plain.exists(redis_keys.SYNC_LEASE)


async def test_the_version_that_the_pointer_names_is_never_removed(
    redis: AsyncRedis, plain: Redis, snapshot: FetchedSnapshot, another: FetchedSnapshot
) -> None:
    """Someone has moved the pointer back by hand."""
    for each in (snapshot, another):
        await SnapshotSwitch(redis).sync(each, Progress())
        if each is snapshot:
            first = plain.get(redis_keys.SNAPSHOT_POINTER)
    plain.set(redis_keys.SNAPSHOT_POINTER, first)
    await Retirement(redis, clock=lambda: time.time() + GRACE_SECONDS + 1).remove_due()
    assert len(plain.keys("fs:v1.*")) == USERS + 2


async def test_a_snapshot_without_room_fails_its_job_and_the_live_histories_stay(
    redis: AsyncRedis, plain: Redis, redis_url: str, tmp_path: Path
) -> None:
    plain.set(redis_keys.live_history(7), b"live", ex=3600)
    write_snapshot(tmp_path / "v1", "v1", NOW, [(user, bytes(1000)) for user in range(1, 5001)])
    with changed_settings(plain, {"maxmemory": plain.info("memory")["used_memory"] + 3_000_000}):
        jobs = SyncJobs(SnapshotSwitch(redis), JobStore(redis, "one"), RedisFaults(redis_url), Metrics())
        job = await jobs.submit(str(tmp_path / "v1"))
        await jobs.step()
    assert (job.state, job.users) == ("failed", 0)
    assert job.error is not None
    assert job.error.startswith("no room in Redis: the snapshot of 5000 users needs about 7 MiB")
    assert plain.get(redis_keys.live_history(7)) == b"live"
    assert _versions_with_keys(plain) == set()


@pytest.mark.parametrize("blob_bytes", [20, 150, 1000, 5200])
async def test_the_estimated_memory_is_what_redis_takes_or_up_to_three_times_as_much(
    redis: AsyncRedis, plain: Redis, snapshot: FetchedSnapshot, tmp_path: Path, blob_bytes: int
) -> None:
    users = 20_000
    write_snapshot(tmp_path / "big", "big", NOW, [(10_000_000 + user, bytes(blob_bytes)) for user in range(users)])
    before = plain.info("memory")["used_memory"]
    with fetch_snapshot(str(tmp_path / "big")) as fetched:
        assert fetched.size == SnapshotSize(users, users * blob_bytes)
        await SnapshotSwitch(redis).sync(fetched, Progress())
    taken = plain.info("memory")["used_memory"] - before
    assert taken <= fetched.size.redis_bytes <= 3 * taken
