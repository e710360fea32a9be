"""Deletes old runs, so that the store doesn't fill up."""

import logging
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from pipeline.artifacts import folders_below, join, remove
from pipeline.errors import PipelineError
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings
from pipeline.snapshot import find_chain
from pipeline.steps.data import synced_snapshots, version_of
from pipeline.steps.marker_files import is_done
from pipeline.steps.run_info import RunKind, find_run_info, time_of_run_id

_log = logging.getLogger(__name__)
_NEVER = datetime.min.replace(tzinfo=UTC)
# There are many refreshes each day; the last ones are for looking at a fault.
REFRESHES_KEPT = 3


class _OldRun(NamedTuple):
    started_at: datetime
    name: str
    is_deployed: bool
    is_good: bool
    is_refresh: bool = False


@monitor_pipeline_step("prune", critical=False)
def prune(settings: Settings, kind: RunKind = "training") -> None:
    """Remove all but the newest RUNS_KEPT good runs and FAILED_RUNS_KEPT others, each with its snapshot.

    A run is good if it has deployed its model, or has its bundle where nothing was to be deployed. The newest run that
    has deployed stays in any case: its snapshot fills an empty Redis. Refreshes are counted by themselves, in the same
    way, and push out no training. Before a refresh, only refreshes are removed: a training may be running beside it.
    With SNAPSHOT_INCREMENTAL, the runs of the snapshots that the next one may be based on stay, too. A run that can't
    be read stays: it may be the one that has deployed.
    """
    folders = {place: folders_below(join(settings.artifact_url, place)) for place in ("runs", "snapshots")}
    names = sorted({*folders["runs"], *folders["snapshots"]})
    runs = sorted(_describe_readable(settings, names, set(folders["runs"])))
    trainings, refreshes = [run for run in runs if not run.is_refresh], [run for run in runs if run.is_refresh]
    kept = _kept(refreshes, REFRESHES_KEPT, REFRESHES_KEPT) | (set(names) - {run.name for run in runs})
    if kind == "refresh":
        kept |= {run.name for run in trainings}
    else:
        kept |= _kept(trainings, settings.runs_kept, settings.failed_runs_kept)
    if settings.snapshot_incremental:
        addresses = [join(settings.artifact_url, "runs", name) for name in folders["runs"]]
        kept |= {version_of(each.address) for each in find_chain(synced_snapshots(addresses))}
    for name in names:
        if name in kept:
            continue
        # The snapshot first: what is left of an interrupted deletion is a run, not a snapshot without one.
        for place in ("snapshots", "runs"):
            if name in folders[place]:
                remove(join(settings.artifact_url, place, name))
                _log.info("removed %s/%s", place, name)


def _kept(runs: list[_OldRun], good_kept: int, others_kept: int) -> set[str]:
    """Return the names of the runs that stay, of runs by age, the oldest first."""
    good, others = [run for run in runs if run.is_good], [run for run in runs if not run.is_good]
    deployed = [run for run in good if run.is_deployed][-1:]
    return {run.name for run in (*good[-good_kept:], *_last(others, others_kept), *deployed)}


def _last(runs: list[_OldRun], number: int) -> list[_OldRun]:
    return runs[-number:] if number else []


def _describe_readable(settings: Settings, names: Sequence[str], with_run: Collection[str]) -> Iterator[_OldRun]:
    for name in names:
        try:
            yield _describe(settings, name, has_run=name in with_run)
        except OSError as error:
            _log.warning("the run %s stays, because it can't be read: %s", name, error)


def _describe(settings: Settings, name: str, *, has_run: bool) -> _OldRun:
    run = join(settings.artifact_url, "runs", name)
    try:
        info = find_run_info(run) if has_run else None
    except PipelineError:
        info = None
    if info is None:
        # A run of an earlier release has no markers: it was handed over if the registry gave it a version.
        there = folders_below(run) if has_run else []
        return _OldRun(time_of_run_id(name) or _NEVER, name, "registry" in there, "bundle" in there)
    # Not by the sync, which may be another's task: of several snapshots that wait, only the newest is synced.
    prefix = "refresh_" if info.kind == "refresh" else ""
    is_deployed, has_made = is_done(run, f"{prefix}deploy"), is_done(run, f"{prefix}bundle")
    return _OldRun(
        info.started_at, name, is_deployed, is_deployed or (not info.publish and has_made), info.kind == "refresh"
    )
