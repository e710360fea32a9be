"""One try of one task, as any of Airflow's processes sees it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import monitoring

POINT = "airflow.task_failed"
# A manually triggered run has no logical date, and a tag must not be empty.
NO_LOGICAL_DATE = "none"
UNMAPPED = -1


@dataclass(frozen=True, slots=True)
class TaskTry:
    """`id` is Airflow's id of the task instance; every try has its own."""

    id: str
    dag_id: str
    task_id: str
    run_id: str
    logical_date: datetime | None
    map_index: int
    try_number: int

    @classmethod
    def of(cls, task_instance: Any) -> "TaskTry":
        """Convert a `RuntimeTaskInstance` (in the task's process) or `models.TaskInstance` (scheduler, API server)."""
        in_database = hasattr(task_instance, "dag_run")
        dag_run = task_instance.dag_run if in_database else task_instance.get_template_context()["dag_run"]
        map_index = task_instance.map_index
        return cls(
            id=str(task_instance.id),
            dag_id=task_instance.dag_id,
            task_id=task_instance.task_id,
            run_id=task_instance.run_id,
            logical_date=dag_run.logical_date,
            map_index=UNMAPPED if map_index is None else map_index,
            try_number=task_instance.try_number,
        )

    def report_failure(self, error: BaseException | str | None) -> None:
        """Report that the task failed finally with this try; repeated reports, even by two processes, count once."""
        raised = error if isinstance(error, BaseException) else None
        monitoring.report(
            POINT,
            error=raised,
            occurrence=self.id,
            dag_id=self.dag_id,
            task_id=self.task_id,
            run_id=self.run_id,
            logical_date=self.logical_date.isoformat() if self.logical_date else NO_LOGICAL_DATE,
            try_number=self.try_number,
            map_index=None if self.map_index == UNMAPPED else self.map_index,
            details=None if raised else error,
        )

    def report_success(self) -> None:
        """Report that the task passed, which ends the incident of an earlier failure."""
        monitoring.recovered(
            POINT, dag_id=self.dag_id, task_id=self.task_id, run_id=self.run_id, try_number=self.try_number
        )
