"""On Mondays: one page about the trainings, deployments and data findings of the week that has ended."""

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, Param, dag, get_current_context, task

from pipeline_dags.assets import GROUP
from pipeline_dags.report_link import with_report_link
from pipeline_dags.retries import DEFAULT_ARGS
from pipeline_dags.runs import check_conf
from pipeline_dags.settings import ScheduleSettings

PARAMS = {
    "week": Param(None, type=["null", "string"], description="The week, as 2026-W48; by default the last one"),
}


@task
def report() -> str:
    """Make the page and post it to the notification gateway; returns its address."""
    from datetime import UTC, datetime

    from pipeline.settings import Settings
    from pipeline.weekly_report import last_week, make_weekly_report, parse_week

    context = get_current_context()
    dag_run, wanted = context["dag_run"], context["params"]["week"]
    check_conf(dag_run, PARAMS)
    settings, now = Settings(), datetime.now(UTC)
    week = parse_week(wanted, settings.zone) if wanted else last_week(dag_run.logical_date or now, settings.zone)
    return make_weekly_report(settings, week, now)


@dag(
    schedule=CronTriggerTimetable("0 7 * * 1", timezone=ScheduleSettings().timezone, run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=[GROUP],
    params=PARAMS,
    default_args=DEFAULT_ARGS,
)
def weekly_report() -> None:
    """Make the report of the last week."""
    with_report_link(report())


weekly_report()
