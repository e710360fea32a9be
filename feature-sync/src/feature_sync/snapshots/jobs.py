"""Sync jobs: one at a time, in the order of their requests; the last ones are stored."""

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
from feature_sync.snapshots.source import fetch_snapshot
from feature_sync.snapshots.switch import IncompleteSnapshotError, Progress, SnapshotSwitch

_log = logging.getLogger(__name__)

REMEMBERED = 100
_OPERATION = "sync_snapshot"
_FAILURES = (UnusableSnapshotError, MalformedSnapshotError, IncompleteSnapshotError, *REDIS_ERRORS)


class SyncJob(BaseModel):
    """The state of a `POST /sync`."""

    job: Annotated[str, Field(description="Id of the job", examples=["5c1f0e6a9b3d"])]
    snapshot: Annotated[
        str, Field(description="The requested folder", examples=["s3://recsys/snapshots/20261124T0300"])
    ]
    state: Annotated[Literal["queued", "running", "done", "failed"], Field(description="State of the job")] = "queued"
    version: Annotated[
        str | None, Field(description="Version of the snapshot; null until it is read", examples=["20261124T0300"])
    ] = None
    users: Annotated[int, Field(description="Users written", examples=[120000])] = 0
    total: Annotated[int, Field(description="Users in the snapshot", examples=[120000])] = 0
    seconds: Annotated[float | None, Field(description="Duration; null until the job ends", examples=[1.4])] = None
    error: Annotated[str | None, Field(description="Reason of the failure; null without one")] = None
    created_at: Annotated[datetime, Field(description="Time at which it was queued", examples=["2026-11-24T03:10:00Z"])]


class SyncJobs:
    """Runs sync jobs; `step` has to be called repeatedly."""

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
        # Each with its address and the trace of its request.
        self._queue: asyncio.Queue[tuple[SyncJob, str, dict[str, str]]] = asyncio.Queue()

    def submit(self, snapshot: str) -> SyncJob:
        """Queue a sync and return its job."""
        # Any caller may read a job, and an address may contain a password.
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
            raise UnknownJobError(f"there is no job {job!r}; the last {REMEMBERED} are available") from error

    async def step(self) -> None:
        """Wait for a job and run it. An unexpected error fails the job, and is raised."""
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
        fetching = fetch_snapshot(address)
        folder, manifest = await run_in_threadpool(fetching.__enter__)
        try:
            job.version, job.total = manifest.version, manifest.rows
            progress.total = manifest.rows
            with self._faults.report_faults():
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
