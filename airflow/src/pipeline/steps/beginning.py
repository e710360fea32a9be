"""How a run begins, and how it is found again."""

import logging
from datetime import datetime

from pipeline.artifacts import folders_below, join
from pipeline.errors import InputError, PipelineError
from pipeline.quality.rules_file import load_rules
from pipeline.relational import check_engine
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings
from pipeline.steps.columns import check_declared_columns
from pipeline.steps.retention import prune
from pipeline.steps.run_info import RunInfo, RunKind, find_run_info, write_run_info

_log = logging.getLogger(__name__)
_SHOWN_RUNS = 5


def run_address(settings: Settings, run_id: str) -> str:
    """Return the address of a run."""
    return join(settings.artifact_url, "runs", run_id)


def new_run(settings: Settings, run_id: str, kind: RunKind = "training") -> str:
    """Return the address of a new run; old runs are deleted first."""
    try:
        prune(settings, kind)
    except (OSError, PipelineError) as error:
        # The function has reported it, and old runs only cost space.
        _log.warning("old runs could not be deleted: %s", error)
    return run_address(settings, run_id)


def has_begun(settings: Settings, run_id: str) -> bool:
    """Return whether there is a run of this id."""
    return find_run_info(run_address(settings, run_id)) is not None


def begin_run(settings: Settings, info: RunInfo) -> str:
    """Begin a run, and return its address.

    Raises `InputError` if there is a run of this id, or a mistake in a setting or a user's file.
    """
    _check_settings(settings, info.kind)
    run = new_run(settings, info.run_id, info.kind)
    if not _create(settings, run, info):
        raise InputError(f"there is a run {info.run_id} already: continue it by --resume, or choose another id")
    return run


@monitor_pipeline_step("begin")
def _create(settings: Settings, run: str, info: RunInfo) -> bool:
    """Write `run.json` if there is no run of this id; returns whether it did."""
    if info.run_id in folders_below(join(settings.artifact_url, "runs")):
        return False
    write_run_info(run, info)
    return True


def continue_run(settings: Settings, run_id: str, *, now: datetime, publish: bool | None = None) -> str:
    """Continue a run as of the moment that it began with, and return its address.

    `publish` says whether it deploys its model from now on. Raises `InputError` if there is no run of this id, or a
    mistake in a setting or a user's file.
    """
    run, info = find_run(settings, run_id)
    _check_settings(settings, info.kind)
    intent = info.publish if publish is None else publish
    write_run_info(run, info.model_copy(update={"started_at": now, "publish": intent}))
    return run


def _check_settings(settings: Settings, kind: RunKind) -> None:
    """Read the user's files, try their SQL and check the engine, so that a mistake there costs no extraction."""
    check_engine(settings.pipeline_engine_url, settings.artifact_url)
    load_rules(settings.quality_rules)
    if kind == "training":
        check_declared_columns(settings)


def find_latest_training(settings: Settings) -> tuple[str, RunInfo]:
    """Return address and description of the training that began last; raises `InputError` if there is none."""
    runs = (run_address(settings, name) for name in folders_below(join(settings.artifact_url, "runs")))
    found = [(info.started_at, run, info) for run in runs if (info := find_run_info(run)) and info.kind == "training"]
    if not found:
        raise InputError("there is no training below ARTIFACT_URL: begin one by `python -m pipeline run`")
    _, run, info = max(found, key=lambda each: each[0])
    return run, info


def find_run(settings: Settings, run_id: str) -> tuple[str, RunInfo]:
    """Return address and description of a run that has begun; raises `InputError` if there is none of this id."""
    run = run_address(settings, run_id)
    info = find_run_info(run)
    if info is None:
        newest = folders_below(join(settings.artifact_url, "runs"))[-_SHOWN_RUNS:]
        known = f"the last by name are {', '.join(newest)}" if newest else "there is none at all"
        raise InputError(f"there is no run {run_id} below ARTIFACT_URL; {known}")
    return run, info
