"""Nightly: from the business database to a deployed model. `feature_sync` then brings its features to Redis."""

from collections.abc import Iterator
from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, Metadata, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from pipeline_dags.assets import GROUP, MODEL, SNAPSHOT
from pipeline_dags.report_link import with_report_link
from pipeline_dags.retries import DEFAULT_ARGS
from pipeline_dags.runs import (
    begin_pipeline_run,
    report_pipeline_run,
    run_step,
    skip_rebuild,
    snapshot_extra,
    step_task,
)

PARAMS = {
    "min_ndcg": Param(0.0, type="number", minimum=0, maximum=1, description="Minimum nDCG@10 of a deployment"),
    "full_extraction": Param(
        False, type="boolean", description="Read all days from the databases, also those that earlier runs have read"
    ),
}


@task
def start() -> str:
    """Begin the run."""
    return begin_pipeline_run(PARAMS)


@task
def skew(run: str) -> str:
    """Compare what was served on the day before with what training computes; whatever comes of it, the run goes on."""
    from pipeline.settings import Settings
    from pipeline.skew import report_skew
    from pipeline.steps import load_run_info

    info = load_run_info(run)
    if info.publish:
        report_skew(Settings(), run, since=info.as_of - timedelta(days=1), until=info.as_of)
    return run


@task
def gate(run: str) -> str:
    """Stop the run if the model is worse than it requires, or if it rebuilds the data of an earlier day."""
    from pipeline.run_report import record_failure
    from pipeline.steps import load_metrics

    skip_rebuild(run)
    least = get_current_context()["params"]["min_ndcg"]
    found = load_metrics(run).get("ndcg@10", 0.0)
    with record_failure(run, "gate"):
        if found < least:
            raise AirflowFailException(f"nDCG@10 is {found:.4f}, min_ndcg asks for {least:.4f}: nothing is deployed")
    return run


@task(outlets=[MODEL, SNAPSHOT])
def deploy(run: str) -> Iterator[Metadata]:
    """Deploy the published version, and record it and its snapshot on their assets."""
    from pipeline.steps import load_metrics
    from pipeline.steps.handover import published_version

    run_step("deploy", run)
    yield Metadata(MODEL, extra={"version": published_version(run), "ndcg": load_metrics(run).get("ndcg@10")})
    yield Metadata(SNAPSHOT, extra=snapshot_extra(run))
    return run


@task
def report() -> str | None:
    """Write and post the report of the run."""
    return report_pipeline_run("extract")


@dag(
    # Without a start date and without a grace period, unpausing starts no run for a past date.
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=[GROUP],
    params=PARAMS,
    default_args=DEFAULT_ARGS,
)
def recommendation_pipeline() -> None:
    """Run the steps of `pipeline.steps`, with a gate before the handover; success means deployed."""
    run = skew(step_task("extract", start()))
    data = ("quality", "columns", "features", "feedback")
    for name in (*data, "recall", "train", "evaluate", "precompute", "bundle"):
        run = step_task(name, run)
    run = step_task("publish", gate(run))
    # Airflow derives a run's state from its last tasks, but for teardowns: so this one hides no failure.
    deploy(run) >> with_report_link(report()).as_teardown()


recommendation_pipeline()
