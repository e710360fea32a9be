"""What tests ask of a run of a DAG."""

from pathlib import Path
from typing import Any


def states(run: Any) -> dict[str, str]:
    """Return the states of the run's tasks."""
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def asset_events(run: Any, task_id: str) -> list[dict[str, Any]]:
    """Return URI and extra of the events that a task of the run has caused, by URI."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    wanted = (AssetEvent.source_run_id == run.run_id, AssetEvent.source_dag_id == run.dag_id)
    with create_session() as session:
        found = session.scalars(select(AssetEvent).where(*wanted, AssetEvent.source_task_id == task_id)).all()
        events = [{"uri": event.asset.uri, "extra": event.extra} for event in found]
    return sorted(events, key=lambda event: event["uri"])


def xcom(run: Any, task_id: str, key: str) -> Any:
    """Return what a task of the run has pushed under a key."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    wanted = (XComModel.run_id == run.run_id, XComModel.task_id == task_id, XComModel.key == key)
    with create_session() as session:
        return session.scalars(select(XComModel.value).where(*wanted)).one()


def report_of(run: Path) -> str:
    """Return the page about a run of the pipeline."""
    return (run / "report" / "report.html").read_text(encoding="utf-8")
