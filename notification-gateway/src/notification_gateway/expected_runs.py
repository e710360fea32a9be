"""Reports when no run of the pipeline has succeeded in time; done here, because Airflow itself may be down."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

import monitoring
from contracts.signals import AlertSignal
from notification_gateway.storage import Storage, upsert
from notification_gateway.tables import pipeline_runs

POINT = "pipeline.no_recent_run"
# An open incident has its own reminders; this only reopens one that a person has closed too early.
REPEAT = timedelta(hours=24)


def record_successful_runs(connection: Connection, signals: Sequence[AlertSignal]) -> None:
    """Store the end of each successful run, which a recovery of the point reports."""
    latest: dict[str, datetime] = {}
    for signal in signals:
        if signal.kind == "recovered" and signal.monitoring_point == POINT:
            latest[signal.environment] = max(signal.last_seen, latest.get(signal.environment, signal.last_seen))
    for environment, good_at in latest.items():
        _add(connection, environment, good_at)
        connection.execute(
            update(pipeline_runs)
            .where(pipeline_runs.c.environment == environment, pipeline_runs.c.good_at < good_at)
            .values(good_at=good_at, reported_at=None)
        )


class ExpectedRuns:
    """Reports, once a day, that no run of an environment has succeeded for longer than `within`; None: never."""

    def __init__(
        self, storage: Storage, environment: str, within: timedelta | None, clock: Callable[[], datetime]
    ) -> None:
        self._storage = storage
        self._environment = environment
        self._within = within
        self._clock = clock

    def check(self) -> None:
        """Check once. Before the first run the time counts from the first check with this database."""
        if self._within is None:
            return
        now = self._clock()
        with self._storage.exclusive(POINT) as connection:
            _add(connection, self._environment, now)
            of_environment = pipeline_runs.c.environment == self._environment
            row = connection.execute(select(pipeline_runs).where(of_environment)).one()
            if now - row.good_at <= self._within:
                return
            if row.reported_at is not None and now - row.reported_at < REPEAT:
                return
            connection.execute(update(pipeline_runs).where(of_environment).values(reported_at=now))
            hours = (now - row.good_at) / timedelta(hours=1)
            # Before the commit: if the process dies in between, it is reported again, to the same incident.
            monitoring.report(
                POINT,
                details=f"no run of the pipeline has succeeded for {hours:.1f} hours",
                last_good_run=row.good_at.isoformat(),
            )


def _add(connection: Connection, environment: str, good_at: datetime) -> None:
    row = {"environment": environment, "good_at": good_at, "reported_at": None}
    connection.execute(upsert(connection, pipeline_runs).values(row).on_conflict_do_nothing())
