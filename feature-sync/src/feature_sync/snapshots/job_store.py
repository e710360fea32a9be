"""Sync jobs in Redis, so that any worker can answer about them, also after a restart."""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any

from pydantic import BaseModel, ValidationError

from contracts import redis_keys
from feature_sync.connections import AnyRedis
from feature_sync.snapshots.bodies import SyncJob

REMEMBERED = 100
# A worker reports its unfinished jobs each second; Redis may be away for a while.
LOST_SECONDS = 60.0
_UNFINISHED = ("queued", "running")


class _StoredJob(BaseModel):
    """A job, whose it is, and when its worker last reported it (Unix time)."""

    job: SyncJob
    worker: str
    reported_at: float


class JobStore:
    """The last `REMEMBERED` jobs of all workers; each call raises what Redis raises. `now` is Unix time."""

    def __init__(self, redis: AnyRedis, worker: str, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._worker = worker
        self._now = now
        # So that the state that is written last is the latest one.
        self._lock = asyncio.Lock()

    async def add(self, job: SyncJob) -> None:
        """Store a new job, and drop the oldest ones."""
        await self.save(job)
        stored = sorted((await self._all()).items(), key=lambda each: each[1].job.created_at)
        if dropped := [name for name, _ in stored[:-REMEMBERED]]:
            await self._redis.hdel(redis_keys.SYNC_JOBS, *dropped)

    async def save(self, job: SyncJob) -> None:
        """Store the state of a job of this worker."""
        async with self._lock:
            stored = _StoredJob(job=job, worker=self._worker, reported_at=self._now())
            await self._redis.hset(redis_keys.SYNC_JOBS, job.job, stored.model_dump_json())

    async def find(self, job: str) -> SyncJob | None:
        """Return a job; one whose worker has not reported it for `LOST_SECONDS` has failed."""
        stored = _read(await self._redis.hget(redis_keys.SYNC_JOBS, job))
        if stored is None:
            return None
        silent = self._now() - stored.reported_at
        if stored.job.state in _UNFINISHED and silent > LOST_SECONDS:
            return _interrupted(stored.job, f"worker {stored.worker} has not reported for {silent:.0f} s")
        return stored.job

    async def last_done(self) -> SyncJob | None:
        """Return the latest sync that succeeded."""
        done = [each.job for each in (await self._all()).values() if each.job.state == "done"]
        return max(done, key=lambda job: job.created_at, default=None)

    async def fail_interrupted(self, except_for: Collection[str]) -> None:
        """Fail the jobs that an earlier process of this worker did not finish."""
        for name, stored in (await self._all()).items():
            if name not in except_for and stored.worker == self._worker and stored.job.state in _UNFINISHED:
                await self.save(_interrupted(stored.job, "the worker ended"))

    async def _all(self) -> dict[str, _StoredJob]:
        found: Any = await self._redis.hgetall(redis_keys.SYNC_JOBS)
        jobs = {name.decode("utf-8", "replace"): _read(value) for name, value in found.items()}
        return {name: stored for name, stored in jobs.items() if stored is not None}


def _read(value: Any) -> _StoredJob | None:
    try:
        return None if value is None else _StoredJob.model_validate_json(value)
    except ValidationError:
        # Of a later release.
        return None


def _interrupted(job: SyncJob, cause: str) -> SyncJob:
    when = f"after {job.users} of {job.total} users" if job.state == "running" else "before it began"
    error = f"interrupted {when}: {cause}. The previous snapshot stays active; sync again"
    return job.model_copy(update={"state": "failed", "error": error})
