"""Sync jobs and their progress are in Redis: any worker answers about them, also after a restart."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from contracts import redis_keys
from contracts.snapshot import write_snapshot
from feature_sync.connections import RedisFaults
from feature_sync.errors import SnapshotsUnavailableError, UnknownJobError
from feature_sync.metrics import Metrics
from feature_sync.snapshots.job_store import LOST_SECONDS, REMEMBERED, JobStore
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.source import FetchedSnapshot
from feature_sync.snapshots.switch import Progress, SnapshotSwitch
from servicekit.background import cancel_all
from testkit.redis_server import RedisServer

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC)


class Halted(SnapshotSwitch):
    """A switch that writes some users and then waits."""

    async def sync(self, snapshot: FetchedSnapshot, progress: Progress) -> None:
        progress.written = 3
        await asyncio.sleep(3600)


@pytest.fixture
def address(tmp_path: Path) -> str:
    write_snapshot(tmp_path / "v1", "v1", NOW, [(user, b"blob") for user in range(1, 6)])
    return str(tmp_path / "v1")


def _jobs(switch: SnapshotSwitch, redis: AsyncRedis, url: str, worker: str, now: float = 0.0) -> SyncJobs:
    return SyncJobs(switch, JobStore(redis, worker, lambda: now), RedisFaults(url), Metrics())


async def test_a_finished_job_is_known_to_every_worker_and_after_a_restart(
    redis: AsyncRedis, redis_url: str, address: str
) -> None:
    jobs = _jobs(SnapshotSwitch(redis), redis, redis_url, "one")
    done = await jobs.submit(address)
    await jobs.step()
    for worker in ("one", "other"):
        later = _jobs(SnapshotSwitch(redis), redis, redis_url, worker, now=LOST_SECONDS + 1)
        await later.report()
        assert await later.get(done.job) == done
    assert (done.state, done.users) == ("done", 5)
    with pytest.raises(UnknownJobError):
        await jobs.get("unknown")


async def test_jobs_that_a_process_did_not_finish_say_so_after_its_restart(
    redis: AsyncRedis, redis_url: str, address: str
) -> None:
    first = _jobs(Halted(redis), redis, redis_url, "one")
    running, queued = await first.submit(address), await first.submit(address)
    task = asyncio.create_task(first.step())
    async with asyncio.timeout(5):
        while running.state != "running" or not running.total:  # noqa: ASYNC110 - as a caller over HTTP polls
            await asyncio.sleep(0.01)
    await first.report()
    other = _jobs(SnapshotSwitch(redis), redis, redis_url, "two", now=1.0)
    seen = await other.get(running.job)
    assert (seen.state, seen.users, seen.total) == ("running", 3, 5), "progress is stored while it runs"
    await other.report()
    assert (await other.get(running.job)).state == "running", "another worker's job goes on"

    restarted = _jobs(SnapshotSwitch(redis), redis, redis_url, "one", now=1.0)
    await restarted.report()
    ends = [await restarted.get(each.job) for each in (running, queued)]
    assert [each.state for each in ends] == ["failed", "failed"]
    assert [each.error.partition(".")[0] for each in ends if each.error] == [
        "interrupted after 3 of 5 users: the worker ended",
        "interrupted before it began: the worker ended",
    ]
    await cancel_all([task])


async def test_a_job_whose_worker_never_comes_back_has_failed(redis: AsyncRedis, redis_url: str, address: str) -> None:
    job = await _jobs(Halted(redis), redis, redis_url, "gone").submit(address)
    for now, state in ((LOST_SECONDS, "queued"), (LOST_SECONDS + 1, "failed")):
        assert (await _jobs(SnapshotSwitch(redis), redis, redis_url, "one", now).get(job.job)).state == state


async def test_the_last_jobs_are_stored_without_passwords_of_their_addresses(
    redis: AsyncRedis, plain: Redis, redis_url: str
) -> None:
    jobs = _jobs(SnapshotSwitch(redis), redis, redis_url, "one")
    for number in range(REMEMBERED + 3):
        last = await jobs.submit(f"s3://key:pass-word-{number}@bucket/s?password=hunter{number}")
    stored = plain.hgetall(redis_keys.SYNC_JOBS)
    assert (len(stored), last.job.encode() in stored) == (REMEMBERED, True)
    assert b"hunter" not in b"".join(stored.values())


async def test_a_sync_is_taken_while_redis_is_down_and_only_other_jobs_are_not_known(
    redis: AsyncRedis, redis_url: str, redis_server: RedisServer, address: str
) -> None:
    jobs = _jobs(SnapshotSwitch(redis), redis, redis_url, "one")
    redis_server.kill()
    try:
        job = await jobs.submit(address)
        assert (await jobs.get(job.job)).state == "queued"
        with pytest.raises(SnapshotsUnavailableError):
            await jobs.get("another")
    finally:
        redis_server.restart()
    await jobs.step()
    assert job.state == "done"
