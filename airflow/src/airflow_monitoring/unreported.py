"""Failed tasks whose own process could not report: killed, out of memory, or lost before they started."""

from collections.abc import Iterator
from typing import Any

from airflow_monitoring.tries import TaskTry

# Written by the task's process beside its other state, once its report is sent.
REPORTED_KEY = "airflow_monitoring.reported"


def mark_reported(task_instance: Any, task_try: TaskTry) -> None:
    """Leave a note for the scheduler that the task's process has reported this try."""
    task_instance.get_template_context()["task_state_store"].set(REPORTED_KEY, task_try.id)


def unreported(dag_run: Any) -> Iterator[TaskTry]:
    """Yield the failed tasks of a run that no process has reported; nothing outside of the scheduler and API server."""
    from airflow.models.task_state_store import TaskStateStoreModel as Note
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import and_, select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return
    query = (
        select(TaskInstance.id, TaskInstance.task_id, TaskInstance.map_index, TaskInstance.try_number, Note.value)
        .outerjoin(
            Note,
            and_(
                Note.dag_run_id == dag_run.id,
                Note.task_id == TaskInstance.task_id,
                Note.map_index == TaskInstance.map_index,
                Note.key == REPORTED_KEY,
            ),
        )
        .where(
            TaskInstance.dag_id == dag_run.dag_id,
            TaskInstance.run_id == dag_run.run_id,
            TaskInstance.state == "failed",
        )
    )
    # Columns, and no flush: the scheduler is deciding about these very objects.
    with session.no_autoflush:
        rows = session.execute(query).all()
    for ti_id, task_id, map_index, try_number, note in rows:
        # The note is JSON, and may be of an earlier try.
        if str(ti_id) not in (note or ""):
            yield TaskTry(
                str(ti_id), dag_run.dag_id, task_id, dag_run.run_id, dag_run.logical_date, map_index, try_number
            )
