"""Brings the feature snapshot of each model that was deployed to Redis, through the service feature-sync."""

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from pipeline_dags.assets import GROUP, SNAPSHOT
from pipeline_dags.retries import SYNC_ARGS
from pipeline_dags.runs import check_conf

PARAMS = {
    "snapshot": Param(
        None,
        type=["null", "string"],
        description="Address of a snapshot; by default that of the asset, or of the last run that deployed",
    ),
}


@task
def sync() -> None:
    """Sync the newest snapshot of the asset's events; a run by hand syncs that of the last run that deployed."""
    from pipeline.settings import Settings
    from pipeline.steps.snapshots import last_deployed_snapshot, newest_snapshot, sync_address

    context = get_current_context()
    check_conf(context["dag_run"], PARAMS)
    settings = Settings()
    events = [event for found in dict(context["triggering_asset_events"]).values() for event in found]
    snapshot = context["params"]["snapshot"] or newest_snapshot(events) or last_deployed_snapshot(settings)
    if snapshot is None:
        raise AirflowSkipException("no run has deployed a model yet: there is no snapshot to sync")
    sync_address(settings, snapshot)


@dag(
    schedule=[SNAPSHOT],
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=[GROUP],
    params=PARAMS,
    default_args=SYNC_ARGS,
)
def feature_sync() -> None:
    """Write the snapshot to Redis, with retries of its own: the model that was deployed serves meanwhile."""
    sync()


feature_sync()
