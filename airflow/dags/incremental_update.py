"""Hourly, without a training: new datasets, statistics and lists around the ranker in service, and new users."""

from collections.abc import Iterator
from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, Metadata, dag, task

from pipeline_dags.assets import GROUP, SNAPSHOT
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


@task
def start() -> str:
    """Begin the run."""
    return begin_pipeline_run((), "refresh")


@task
def gate(run: str) -> str:
    """Stop a run that rebuilds the data of an earlier day."""
    skip_rebuild(run)
    return run


@task(outlets=[SNAPSHOT])
def refresh_deploy(run: str) -> Iterator[Metadata]:
    """Deploy the refresh if its model is still in service, and record its snapshot on the asset; else skip."""
    run_step("refresh_deploy", run)
    yield Metadata(SNAPSHOT, extra=snapshot_extra(run))
    return run


@task
def report() -> str | None:
    """Write the report of the run, and post it if the run has failed."""
    return report_pipeline_run("served_model")


@dag(
    # Half an hour from the nightly run's start. If both hand over at the same time, the registry decides: a refresh is
    # deployed only while its model is in service.
    schedule=CronTriggerTimetable("30 * * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=[GROUP],
    default_args=DEFAULT_ARGS,
)
def incremental_update() -> None:
    """Run the steps of a refresh; skipped without a model in service, without new data, and when overtaken."""
    run = start()
    for name in (
        *("served_model", "extract", "quality", "refresh_columns", "features"),
        *("refresh_recall", "refresh_precompute", "refresh_bundle"),
    ):
        run = step_task(name, run)
    run = step_task("refresh_publish", gate(run))
    # As in the nightly run, a teardown hides no failure.
    refresh_deploy(run) >> with_report_link(report()).as_teardown()


incremental_update()
