"""Checks that Airflow agrees with the success in a task's process: the try may no longer count."""

import logging
from typing import Any

from airflow_monitoring.tries import UNMAPPED

_log = logging.getLogger(__name__)


def is_current_success(task_instance: Any) -> bool:
    """Return whether Airflow has the task as passed, and none of its other mapped instances as failed.

    A task that was marked as failed, or cleared, may still run to its end: the server rejects its state, but its
    process sees a success. In doubt the result is False.
    """
    try:
        if hasattr(task_instance, "dag_run"):
            # In the API server, which has just set the state.
            return not _failed_siblings_in_database(task_instance)
        return _is_passed_by_server(task_instance)
    except Exception:  # noqa: BLE001 - whatever it is, the hook goes on without a recovery
        _log.exception("cannot read from Airflow whether the success of %s counts", task_instance.task_id)
        return False


def _is_passed_by_server(task_instance: Any) -> bool:
    of_task = {
        "dag_id": task_instance.dag_id,
        "run_ids": [task_instance.run_id],
        "task_ids": [task_instance.task_id],
    }
    map_index = task_instance.map_index
    if not task_instance.get_ti_count(**of_task, map_index=map_index, states=["success"]):
        return False
    return _is_unmapped(map_index) or not task_instance.get_ti_count(**of_task, states=["failed"])


def _failed_siblings_in_database(task_instance: Any) -> int:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import func, select
    from sqlalchemy.orm import object_session

    session = object_session(task_instance)
    if session is None or _is_unmapped(task_instance.map_index):
        return 0
    query = select(func.count()).where(
        TaskInstance.dag_id == task_instance.dag_id,
        TaskInstance.run_id == task_instance.run_id,
        TaskInstance.task_id == task_instance.task_id,
        TaskInstance.map_index != task_instance.map_index,
        TaskInstance.state == "failed",
    )
    with session.no_autoflush:
        return int(session.scalar(query) or 0)


def _is_unmapped(map_index: int | None) -> bool:
    return map_index is None or map_index == UNMAPPED
