"""Sync jobs: one at a time, in the order they were asked for; the last ones are remembered."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

import monitoring
from contracts.snapshot import MalformedSnapshotError, iter_users
from feature_sync.connections import REDIS_ERRORS, RedisFaults
from feature_sync.errors import UnknownJobError, UnusableSnapshotError
from feature_sync.metrics import Metrics
from feature_sync.snapshots.source import fetched
from feature_sync.snapshots.switch import IncompleteSnapshotError, Progress, SnapshotSwitch

_log = logging.getLogger(__name__)

REMEMBERED = 100
_OPERATION = "sync_snapshot"
_FAILURES = (UnusableSnapshotError, MalformedSnapshotError, IncompleteSnapshotError, *REDIS_ERRORS)


class SyncJob(BaseModel):
    """What became of a `POST /sync`."""

    job: Annotated[str, Field(description="Id of the job", examples=["5c1f0e6a9b3d"])]
    snapshot: Annotated[
        str, Field(description="The folder that was asked for", examples=["s3://recsys/snapshots/20261124T0300"])
    ]
    state: Annotated[Literal["queued", "running", "done", "failed"], Field(description="State of the job")] = "queued"
    version: Annotated[
        str | None, Field(description="Version of the snapshot; null until it is read", examples=["20261124T0300"])
    ] = None
    users: Annotated[int, Field(description="Users written", examples=[120000])] = 0
    total: Annotated[int, Field(description="Users in the snapshot", examples=[120000])] = 0
    seconds: Annotated[float | None, Field(description="How long it took; null until it has ended", examples=[1.4])] = (
        None
    )
    error: Annotated[str | None, Field(description="Why it failed; null if it did not")] = None
    created_at: Annotated[datetime, Field(description="When it was queued", examples=["2026-11-24T03:10:00Z"])]


class SyncJobs:
    """Takes sync jobs; `step` is to be run again and again."""

    def __init__(
        self,
        switch: SnapshotSwitch,
        faults: RedisFaults,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._switch = switch
        self._faults = faults
        self._metrics = metrics
        self._clock = clock
        self._jobs: OrderedDict[str, SyncJob] = OrderedDict()
        # Each with its address and the trace of the request that asked for it.
        self._queue: asyncio.Queue[tuple[SyncJob, str, dict[str, str]]] = asyncio.Queue()

    def submit(self, snapshot: str) -> SyncJob:
        """Queue a sync and return its job."""
        # Anybody may ask what became of a job; an address may hold a password.
        job = SyncJob(job=uuid4().hex, snapshot=monitoring.redacted(snapshot), created_at=datetime.now(UTC))
        self._jobs[job.job] = job
        while len(self._jobs) > REMEMBERED:
            self._jobs.popitem(last=False)
        self._queue.put_nowait((job, snapshot, monitoring.trace_headers()))
        return job

    def get(self, job: str) -> SyncJob:
        """Return a job; raises `UnknownJobError`."""
        try:
            return self._jobs[job]
        except KeyError as error:
            raise UnknownJobError(f"there is no job {job!r}; the last {REMEMBERED} are remembered") from error

    async def step(self) -> None:
        """Wait for a job and run it. What nobody foresaw fails the job as well, and is raised."""
        job, address, trace = await self._queue.get()
        job.state = "running"
        began = self._clock()
        progress = Progress()
        try:
            with monitoring.transaction("sync", "snapshot", trace):
                await self._sync(job, address, progress)
        except Exception as error:
            job.error = monitoring.redacted(str(error)) or type(error).__name__
            job.state = "failed"
            self._metrics.snapshots.labels("failed").inc()
            _report(error, progress)
            if not isinstance(error, _FAILURES):
                raise
        else:
            job.state = "done"
            self._metrics.snapshots.labels("done").inc()
            self._metrics.users.set(progress.written)
            monitoring.recovered("pipeline.feature_store_sync", operation=_OPERATION)
        finally:
            job.seconds = round(self._clock() - began, 3)
            job.users = progress.written
            self._metrics.seconds.set(job.seconds)
            _log.info("sync of %s: %s, %d users in %.1f s", job.snapshot, job.state, job.users, job.seconds)

    async def _sync(self, job: SyncJob, address: str, progress: Progress) -> None:
        fetching = fetched(address)
        folder, manifest = await run_in_threadpool(fetching.__enter__)
        try:
            job.version, job.total = manifest.version, manifest.rows
            progress.total = manifest.rows
            with self._faults.reported():
                batches = iter_users(folder, manifest)
                await self._switch.write(manifest.version, manifest.feature_schema, batches, progress)
                await self._switch.activate(manifest.version)
                await self._switch.retire_others(manifest.version)
        finally:
            await run_in_threadpool(fetching.__exit__, None, None, None)


def _report(error: Exception, progress: Progress) -> None:
    affected = progress.total - progress.written
    monitoring.report(
        "pipeline.feature_store_sync",
        error=error,
        operation=_OPERATION,
        affected_count=affected,
        total_count=progress.total,
        failure_rate=affected / progress.total if progress.total else 1.0,
    )
