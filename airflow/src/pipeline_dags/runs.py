"""The tasks of a DAG whose runs are runs of the pipeline. They only pass on the address of the run's folder."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from pipeline.steps import RunKind


def check_conf(dag_run: Any, known: Collection[str]) -> None:
    """Fail the run if its `conf` has unknown keys: Airflow accepts any, and a misspelt one would be ignored."""
    if unknown := sorted(set(dag_run.conf or {}) - set(known)):
        names = ", ".join(map(repr, known)) or "no key"
        raise AirflowFailException(f"conf: unknown {', '.join(map(repr, unknown))}; this DAG knows {names}")


def begin_pipeline_run(known: Collection[str], kind: "RunKind" = "training") -> str:
    """Begin the run, or continue it if its tasks are cleared: its id is that of Airflow, and it is as of its date."""
    from datetime import UTC, datetime

    from airflow_monitoring.rebuilds import is_rebuild
    from pipeline.settings import Settings
    from pipeline.steps import RunInfo, begin_run, continue_run, has_begun, refresh_run_id, to_run_id

    dag_run = get_current_context()["dag_run"]
    check_conf(dag_run, known)
    settings, now = Settings(), datetime.now(UTC)
    run_id = refresh_run_id(dag_run.run_id) if kind == "refresh" else to_run_id(dag_run.run_id)
    publish = not is_rebuild(dag_run, now)
    if has_begun(settings, run_id):
        return continue_run(settings, run_id, now=now, publish=publish)
    # A run that was triggered by hand may have no date, or one in the future.
    as_of = min(now, dag_run.data_interval_end or dag_run.logical_date or now)
    info = RunInfo(
        run_id=run_id,
        as_of=as_of,
        started_at=now,
        publish=publish,
        kind=kind,
        full_extraction=get_current_context()["params"].get("full_extraction", False),
    )
    return begin_run(settings, info)


def run_step(name: str, run: str) -> str:
    """Run a step of the pipeline on the run at an address, and return the address.

    If there is nothing to do, the task and all later ones are skipped, and the log says why.
    """
    from pipeline.errors import NothingToDoError
    from pipeline.settings import Settings
    from pipeline.steps import run_step as run_and_mark
    from pipeline.steps import step_of

    try:
        run_and_mark(Settings(), run, step_of(name))
    except NothingToDoError as nothing:
        raise AirflowSkipException(str(nothing)) from None
    return run


def step_task(name: str, run: str) -> str:
    """Add a task for a step that only needs the run."""
    made: str = task(task_id=name)(run_step)(name, run)
    return made


def skip_rebuild(run: str) -> None:
    """Skip the handover of a run that rebuilds the data of an earlier day."""
    from pipeline.steps import load_run_info

    info = load_run_info(run)
    if not info.publish:
        raise AirflowSkipException(f"a run as of {info.as_of.isoformat()} rebuilds an earlier day: nothing is deployed")


def snapshot_extra(run: str) -> dict[str, str]:
    """Return what the asset of the snapshot records of a run."""
    from pipeline.steps.data import snapshot_of

    return {"snapshot": snapshot_of(run)}


def report_pipeline_run(first_step: str) -> str | None:
    """Write and post the report of the run, whatever has become of it; skipped if its first step was.

    Returns the address of the page for people, None if none was posted.

    It fetches the run's address itself: an argument would make it wait for `start` alone, and not for the last task.
    """
    from pipeline.settings import Settings
    from pipeline.steps.report import report_run

    context = get_current_context()
    instance, run_id = context["ti"], context["run_id"]
    run = instance.xcom_pull(task_ids="start")
    states = instance.get_task_states(dag_id=instance.dag_id, run_ids=[run_id])[run_id]
    if run is None or states.get(first_step) == "skipped":
        raise AirflowSkipException("no step has run")
    return report_run(Settings(), run, next((name for name, state in states.items() if state == "failed"), None))
