"""Which snapshot is synced to Redis by a process that is not the run that made it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

from pipeline.artifacts import folders_below, join
from pipeline.errors import DataError
from pipeline.settings import Settings
from pipeline.steps.data import snapshot_of
from pipeline.steps.handover import sync_snapshot_at
from pipeline.steps.marker_files import is_done
from pipeline.steps.run import step_of
from pipeline.steps.run_info import find_run_info
from pipeline.steps.runner import run_step


class SnapshotEvent(Protocol):
    """An event of the snapshot's asset, as Airflow gives it."""

    timestamp: datetime
    extra: Any


def newest_snapshot(events: Iterable[SnapshotEvent]) -> str | None:
    """Return the address of the last event, None without one; raises `DataError` if it names none."""
    newest = max(events, key=lambda event: event.timestamp, default=None)
    if newest is None:
        return None
    address = (newest.extra or {}).get("snapshot")
    if not isinstance(address, str) or not address:
        raise DataError('the event of the asset names no snapshot: its extra needs {"snapshot": "<address>"}')
    return address


def last_deployed_snapshot(settings: Settings) -> str | None:
    """Return the snapshot of the run that has deployed its model last, None if none has."""
    root = join(settings.artifact_url, "runs")
    found = []
    for name in folders_below(root):
        run = join(root, name)
        info = find_run_info(run)
        if info is not None and is_done(run, "refresh_deploy" if info.kind == "refresh" else "deploy"):
            found.append((info.started_at, snapshot_of(run)))
    return max(found)[1] if found else None


def sync_address(settings: Settings, snapshot: str) -> None:
    """Write a snapshot to Redis; if a run made it, that is the run's step `sync`."""
    root, _, name = snapshot.rstrip("/").rpartition("/")
    run = join(root.rpartition("/")[0], "runs", name)
    if find_run_info(run) is not None and snapshot_of(run) == snapshot.rstrip("/"):
        run_step(settings, run, step_of("sync"), separate=True)
    else:
        sync_snapshot_at(settings, snapshot)
