"""How many trainings have begun, and how many of them have ended well."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from contracts.run_reports import is_about_training
from notification_gateway.incidents.model import VERIFY
from notification_gateway.reports.queries import REPORTS_KEPT, list_reports
from notification_gateway.tables import incidents, signals

_TASK_FAILED = "airflow.task_failed"
_TRAINING_DAG = "recommendation_pipeline"
_MAX_SIGNALS = 500


@dataclass(frozen=True)
class RunCounts:
    """Of the runs that have begun, those without a page are known by Airflow's listener alone.

    `since` is when the counts begin if that is later than was asked.
    """

    begun: int
    succeeded: int
    since: datetime | None = None

    @property
    def success_rate(self) -> float | None:
        """In percent; None without a run."""
        return self.succeeded / self.begun * 100 if self.begun else None


def count_runs(connection: Connection, since: datetime) -> RunCounts:
    """Return the counts since a time. A run whose processes were killed, page and all, counts as begun.

    Of runs before the oldest page only the failed ones are known once pages have been deleted, so none of them counts.
    """
    reports = list_reports(connection)
    oldest = reports[-1].posted_at if len(reports) >= REPORTS_KEPT else since
    begin = max(since, oldest)
    with_page = {name for report in reports for name in (report.run, report.run_id)}
    without_page = _failed_runs(connection, begin) - with_page
    counted = [report for report in reports if report.posted_at >= begin and is_about_training(report.run)]
    succeeded = sum(report.outcome == "succeeded" for report in counted)
    return RunCounts(len(counted) + len(without_page), succeeded, begin if begin > since else None)


def _failed_runs(connection: Connection, since: datetime) -> set[str]:
    bodies = connection.scalars(
        select(signals.c.body)
        .join(incidents, incidents.c.id == signals.c.incident_id)
        .where(
            incidents.c.monitoring_point == _TASK_FAILED,
            incidents.c.environment != VERIFY,
            signals.c.received_at > since,
        )
        .order_by(signals.c.received_at.desc())
        .limit(_MAX_SIGNALS)
    )
    return {run_id for body in bodies if (run_id := _training_of(body)) is not None}


def _training_of(body: Any) -> str | None:
    """Return the `run_id` of the training that a signal is about; a damaged row is about none."""
    tags = body.get("tags") if isinstance(body, dict) else None
    if not isinstance(tags, dict) or tags.get("dag_id") != _TRAINING_DAG:
        return None
    run_id = tags.get("run_id")
    return run_id if isinstance(run_id, str) and run_id else None
