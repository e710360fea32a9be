"""Nightly: from the business database to a deployed model and fresh features.

The work is in the package `pipeline`. Its modules are heavy, and this file is parsed again and again, so only the tasks
import them. Tasks pass on only one string, the address of the run's folder.
"""

from collections.abc import Iterator
from datetime import timedelta

from airflow.sdk import (
    Asset,
    CronTriggerTimetable,
    ExceptionRetryPolicy,
    Metadata,
    Param,
    RetryAction,
    RetryRule,
    dag,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

MODEL = Asset("model://ranker", group="recommendation")

# Retrying these doesn't help; all other errors (databases, storage, unavailable services) are retried.
FINAL = RetryRule(
    exception=["pipeline.errors.DataError", "pipeline.errors.InputError", "pipeline.publish.http.RefusedError"],
    action=RetryAction.FAIL,
    reason="a retry would fail in the same way",
)

PARAMS = {
    "min_ndcg": Param(0.0, type="number", minimum=0, maximum=1, description="Minimum nDCG@10 of a deployment"),
    "full_extraction": Param(
        False, type="boolean", description="Read all days from the databases, also those that earlier runs have read"
    ),
}


def run_step(name: str, run: str) -> str:
    """Run a step of the pipeline on the run at an address, and return the address.

    If the business database is still empty, the task and all later ones are skipped.
    """
    from pipeline.errors import NothingToTrainError
    from pipeline.settings import Settings
    from pipeline.steps import run_step as run_and_mark
    from pipeline.steps import step_of

    try:
        run_and_mark(Settings(), run, step_of(name))
    except NothingToTrainError as nothing:
        raise AirflowSkipException(str(nothing)) from None
    return run


def step_task(name: str, run: str) -> str:
    """Add a task for a step that only needs the run."""
    return task(task_id=name)(run_step)(name, run)


@task
def start() -> str:
    """Begin the run, or continue it if its tasks are cleared: its id is that of Airflow, and it is as of its date.

    Unknown parameters fail the run: Airflow accepts any, and a misspelt one would be ignored.
    """
    from datetime import UTC, datetime

    from airflow_monitoring.rebuilds import is_rebuild
    from pipeline.settings import Settings
    from pipeline.steps import RunInfo, begin_run, continue_run, has_begun, to_run_id

    dag_run = get_current_context()["dag_run"]
    if unknown := sorted(set(dag_run.conf or {}) - set(PARAMS)):
        raise AirflowFailException(
            f"conf: unknown {', '.join(map(repr, unknown))}; this DAG knows {', '.join(map(repr, PARAMS))}"
        )
    settings, now = Settings(), datetime.now(UTC)
    run_id, publish = to_run_id(dag_run.run_id), not is_rebuild(dag_run, now)
    if has_begun(settings, run_id):
        return continue_run(settings, run_id, now=now, publish=publish)
    # A run that was triggered by hand may have no date, or one in the future.
    as_of = min(now, dag_run.data_interval_end or dag_run.logical_date or now)
    is_full = get_current_context()["params"]["full_extraction"]
    info = RunInfo(run_id=run_id, as_of=as_of, started_at=now, publish=publish, full_extraction=is_full)
    return begin_run(settings, info)


@task
def gate(run: str) -> str:
    """Stop the run if the model is worse than it requires, or if it rebuilds the data of an earlier day."""
    from pipeline.run_report import record_failure
    from pipeline.steps import load_metrics, load_run_info

    info = load_run_info(run)
    if not info.publish:
        raise AirflowSkipException(f"a run as of {info.as_of.isoformat()} rebuilds an earlier day: nothing is deployed")
    least = get_current_context()["params"]["min_ndcg"]
    found = load_metrics(run).get("ndcg@10", 0.0)
    with record_failure(run, "gate"):
        if found < least:
            raise AirflowFailException(f"nDCG@10 is {found:.4f}, min_ndcg asks for {least:.4f}: nothing is deployed")
    return run


@task(outlets=[MODEL])
def deploy(run: str) -> Iterator[Metadata]:
    """Deploy the published version, and record it on the asset."""
    from pipeline.steps import load_metrics
    from pipeline.steps.handover import published_version

    run_step("deploy", run)
    yield Metadata(MODEL, extra={"version": published_version(run), "ndcg": load_metrics(run).get("ndcg@10")})
    return run


@task
def report() -> None:
    """Write and post the report of the run, whatever has become of it.

    It fetches the run's address itself: an argument would make it wait for `start` alone, and not for the last task.
    """
    from pipeline.settings import Settings
    from pipeline.steps.report import report_run

    context = get_current_context()
    instance, run_id = context["ti"], context["run_id"]
    run = instance.xcom_pull(task_ids="start")
    states = instance.get_task_states(dag_id=instance.dag_id, run_ids=[run_id])[run_id]
    if run is None or states.get("extract") == "skipped":
        raise AirflowSkipException("no step has run")
    report_run(Settings(), run, next((name for name, state in states.items() if state == "failed"), None))


@dag(
    # Without a start date and without a grace period, unpausing starts no run for a past date.
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["recommendation"],
    params=PARAMS,
    default_args={
        # The first delay is Airflow's own setting, [core] default_task_retry_delay (5 min); each next one is twice as
        # long. A service or a database that is down for half an hour does not fail the run.
        "retries": 3,
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
        "retry_policy": ExceptionRetryPolicy(rules=[FINAL]),
        # A task that hangs fails and is reported; a time limit of the run would end it without a failed task.
        "execution_timeout": timedelta(hours=2),
    },
)
def recommendation_pipeline() -> None:
    """Run the steps of `pipeline.steps`, with a gate before the handover; success means deployed and synced."""
    run = start()
    for name in ("extract", "quality", "features", "recall", "train", "evaluate", "precompute", "bundle"):
        run = step_task(name, run)
    run = step_task("publish", gate(run))
    # Airflow derives a run's state from its last tasks, but for teardowns: so this one hides no failure.
    step_task("sync", deploy(run)) >> report().as_teardown()


recommendation_pipeline()
