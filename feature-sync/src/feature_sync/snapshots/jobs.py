"""Sync jobs: one at a time, in the order of their requests; the last ones are stored in Redis."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from starlette.concurrency import run_in_threadpool

import monitoring
from contracts.snapshot import MalformedSnapshotError
from feature_sync.connections import REDIS_ERRORS, RedisFaults
from feature_sync.errors import SnapshotsUnavailableError, UnknownJobError, UnusableSnapshotError
from feature_sync.metrics import Metrics
from feature_sync.snapshots.bodies import SyncJob
from feature_sync.snapshots.job_store import REMEMBERED, JobStore
from feature_sync.snapshots.lease import LeaseLostError
from feature_sync.snapshots.room import NoRoomError
from feature_sync.snapshots.source import FetchedSnapshot, fetch_snapshot
from feature_sync.snapshots.switch import BasesReplacedError, IncompleteSnapshotError, Progress, SnapshotSwitch

_log = logging.getLogger(__name__)

_OPERATION = "sync_snapshot"
_FAILURES = (
    UnusableSnapshotError,
    MalformedSnapshotError,
    IncompleteSnapshotError,
    NoRoomError,
    LeaseLostError,
    *REDIS_ERRORS,
)


class SyncJobs:
    """Runs sync jobs; `step` and `report` have to be called repeatedly."""

    def __init__(
        self,
        switch: SnapshotSwitch,
        store: JobStore,
        faults: RedisFaults,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._switch = switch
        self._store = store
        self._faults = faults
        self._metrics = metrics
        self._clock = clock
        self._jobs: OrderedDict[str, SyncJob] = OrderedDict()
        # Each with its address and the trace of its request. An address may contain a password, so it is not stored.
        self._queue: asyncio.Queue[tuple[SyncJob, str, dict[str, str]]] = asyncio.Queue()
        self._unfinished: dict[str, tuple[SyncJob, Progress]] = {}
        self._restarted = True

    async def submit(self, snapshot: str) -> SyncJob:
        """Queue a sync and return its job."""
        # Any caller may read a job.
        job = SyncJob(job=uuid4().hex, snapshot=monitoring.redacted(snapshot), created_at=datetime.now(UTC))
        self._jobs[job.job] = job
        while len(self._jobs) > REMEMBERED:
            self._jobs.popitem(last=False)
        self._unfinished[job.job] = (job, Progress())
        self._queue.put_nowait((job, snapshot, monitoring.trace_headers()))
        # The sync itself reports what is wrong with Redis.
        with suppress(*REDIS_ERRORS):
            await self._store.add(job)
        return job

    async def get(self, job: str) -> SyncJob:
        """Return a job of any worker; raises `UnknownJobError`, or `SnapshotsUnavailableError` without Redis."""
        if (own := self._jobs.get(job)) is not None:
            return own
        try:
            found = await self._store.find(job)
        except REDIS_ERRORS as error:
            raise SnapshotsUnavailableError(
                f"Redis doesn't answer ({type(error).__name__}), and it has the job"
            ) from error
        if found is None:
            raise UnknownJobError(f"there is no job {job!r}; the last {REMEMBERED} are available")
        return found

    async def report(self) -> None:
        """Store the progress of unfinished jobs, and once that those of an earlier process have failed."""
        if self._restarted:
            await self._store.fail_interrupted(except_for=self._jobs.keys())
            self._restarted = False
        for job, progress in list(self._unfinished.values()):
            job.users = progress.written
            await self._store.save(job)

    async def step(self) -> None:
        """Wait for a job and run it. An unexpected error fails the job, and is raised."""
        job, address, trace = await self._queue.get()
        job.state = "running"
        ended: Literal["running", "failed", "done"] = "running"
        began = self._clock()
        _, progress = self._unfinished[job.job]
        try:
            with monitoring.transaction("sync", "snapshot", trace):
                await self._sync(job, address, progress)
        except Exception as error:
            job.error = monitoring.redacted(str(error)) or type(error).__name__
            ended = "failed"
            self._metrics.snapshots.labels("failed").inc()
            _report(error, progress)
            if not isinstance(error, _FAILURES):
                raise
        else:
            ended = "done"
            self._metrics.snapshots.labels("done").inc()
            monitoring.recovered("pipeline.feature_store_sync", operation=_OPERATION)
        finally:
            job.seconds = round(self._clock() - began, 3)
            job.users = progress.written
            self._metrics.seconds.set(job.seconds)
            del self._unfinished[job.job]
            # Before a caller sees the end: it may ask another worker next. A job that was cancelled stays `running`
            # there, until this worker is started again.
            with suppress(*REDIS_ERRORS):
                await self._store.save(job.model_copy(update={"state": ended}))
            job.state = ended
            _log.info("sync of %s: %s, %d users in %.1f s", job.snapshot, job.state, job.users, job.seconds)

    async def _sync(self, job: SyncJob, address: str, progress: Progress) -> None:
        try:
            with self._faults.report_faults():
                find_bases = await self._switch.find_bases()
            await self._fetch_and_sync(job, fetch_snapshot(address, find_bases), progress)
        except BasesReplacedError as error:
            _log.info("all users are synced: %s", error)
            await self._fetch_and_sync(job, fetch_snapshot(address), progress)

    async def _fetch_and_sync(
        self, job: SyncJob, fetching: AbstractContextManager[FetchedSnapshot], progress: Progress
    ) -> None:
        snapshot = await run_in_threadpool(fetching.__enter__)
        try:
            job.version, job.total = snapshot.manifest.version, snapshot.size.users
            job.base = snapshot.bases[0] if snapshot.bases else None
            progress.total = snapshot.size.users
            with self._faults.report_faults():
                await self._switch.sync(snapshot, progress)
            self._metrics.users.set(snapshot.manifest.rows if snapshot.bases else progress.written)
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
