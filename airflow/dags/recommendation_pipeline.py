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
}


def run_step(name: str, run: str) -> str:
    """Run a step of the pipeline on the run at an address, and return the address.

    If the business database is still empty, the task and all later ones are skipped.
    """
    from pipeline.errors import NothingToTrainError
    from pipeline.run_report import record_failure
    from pipeline.settings import Settings
    from pipeline.steps import steps

    (step,) = (step for step in steps(publish=True) if step.name == name)
    try:
        with record_failure(run, name):
            return step.run(Settings(), run)
    except NothingToTrainError as nothing:
        raise AirflowSkipException(str(nothing)) from None


def step_task(name: str, run: str) -> str:
    """Add a task for a step that only needs the run."""
    return task(task_id=name)(run_step)(name, run)


@task
def start() -> str:
    """Name the run's folder, which becomes the version of bundle and snapshot.

    Unknown parameters fail the run: Airflow accepts any, and a misspelt one would be ignored.
    """
    from datetime import UTC, datetime

    from pipeline.settings import Settings
    from pipeline.steps import new_run

    if unknown := sorted(set(get_current_context()["dag_run"].conf or {}) - set(PARAMS)):
        raise AirflowFailException(
            f"conf: unknown {', '.join(map(repr, unknown))}; this DAG knows {', '.join(map(repr, PARAMS))}"
        )
    return new_run(Settings(), datetime.now(UTC))


@task
def gate(run: str) -> str:
    """Stop the run if the model is worse than it requires."""
    from pipeline.run_report import record_failure
    from pipeline.steps import load_metrics

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
        # The delay is Airflow's own setting, [core] default_task_retry_delay.
        "retries": 2,
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
