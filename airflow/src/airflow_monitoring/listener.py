"""The hooks that Airflow calls, in the processes of tasks, of the scheduler and of the API server."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from pluggy import HookimplMarker

import monitoring
from airflow_monitoring.import_errors import ImportErrorWatch, watch_database
from airflow_monitoring.rebuilds import is_rebuild
from airflow_monitoring.settings import ListenerSettings
from airflow_monitoring.successes import is_current_success
from airflow_monitoring.tries import TaskTry
from airflow_monitoring.unreported import mark_reported, unreported

hookimpl = HookimplMarker("airflow")

# A task's process ends without exit handlers, so it delivers before its end; with a collector that is down it waits at
# most this time (s).
FLUSH_SECONDS = 3.0
PIPELINE_DAG = "recommendation_pipeline"
DAG_PROCESSOR = "DagProcessorJob"
DIED = "the task's process ended without a report: killed, out of memory, or never started (its log is in Airflow)"


class Listener:
    """Reports tasks that failed finally, not their retries. Airflow logs an exception of a hook."""

    def __init__(self) -> None:
        self._started = False
        self._job: object = None
        self._import_errors: ImportErrorWatch | None = None

    @hookimpl
    def on_task_instance_running(self, task_instance: Any) -> None:
        """Start monitoring in the task's process; the reports of its own code then name the run, too."""
        self._start()
        monitoring.bind_context(dag_id=task_instance.dag_id, task_id=task_instance.task_id, run_id=task_instance.run_id)

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any, error: BaseException | str | None) -> None:
        """Report the failure, unless a retry follows (Airflow calls this in both cases)."""
        if _state(task_instance) != "failed":
            return
        self._start()
        task_try = TaskTry.of(task_instance)
        task_try.report_failure(error)
        if not hasattr(task_instance, "dag_run"):
            monitoring.flush(FLUSH_SECONDS)
            mark_reported(task_instance, task_try)

    @hookimpl
    def on_task_instance_success(self, task_instance: Any) -> None:
        """End the incident of an earlier failure, if this try counts."""
        self._start()
        if is_current_success(task_instance):
            TaskTry.of(task_instance).report_success()
        if not hasattr(task_instance, "dag_run"):
            monitoring.flush(FLUSH_SECONDS)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any) -> None:
        """Report the failed tasks that could not report themselves."""
        self._report_unreported(dag_run)

    @hookimpl
    def on_dag_run_success(self, dag_run: Any) -> None:
        """Report failed tasks of a run that passed nevertheless, because later tasks run in any case.

        The notification gateway expects a signal of each successful run of the pipeline, except for rebuilds of an
        earlier day.
        """
        self._report_unreported(dag_run)
        if dag_run.dag_id == PIPELINE_DAG and not is_rebuild(dag_run, datetime.now(UTC)):
            self._start()
            with monitoring.bound_context(dag_id=dag_run.dag_id, run_id=dag_run.run_id):
                monitoring.recovered("pipeline.no_recent_run")

    @hookimpl
    def on_starting(self, component: Any) -> None:
        """Watch the import errors of DAG files, in the DAG processor; the hook doesn't know which job this is."""
        self._job = component
        self._import_errors = watch_database(partial(self._is_dag_processor, component))
        self._import_errors.start()

    @hookimpl
    def before_stopping(self, component: Any) -> None:
        """Deliver pending reports."""
        # A process forked from here stops too, but has another component.
        if component is self._job and self._import_errors is not None:
            self._import_errors.stop()
        monitoring.flush(FLUSH_SECONDS)

    def _is_dag_processor(self, job: Any) -> bool:
        # The runner of a task has no type.
        if getattr(job, "job_type", None) != DAG_PROCESSOR:
            return False
        self._start()
        return True

    def _report_unreported(self, dag_run: Any) -> None:
        for task_try in unreported(dag_run):
            self._start()
            task_try.report_failure(DIED)

    def _start(self) -> None:
        # Once: a process forked from here starts monitoring itself.
        if not self._started:
            self._started = True
            settings = ListenerSettings()
            monitoring.init("airflow", settings, secrets=settings.secrets())


def _state(task_instance: Any) -> str:
    state = task_instance.state
    return str(getattr(state, "value", state))
