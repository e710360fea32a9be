"""The processes that serve a model, as they report."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, insert, select

from contracts.deployments import ReplicaReport
from model_registry.database import Database, lock_model
from model_registry.tables import replicas

# A replica reports every few seconds; after this time without a report it is gone.
SILENCE = timedelta(minutes=2)


class Replicas:
    """The replicas of all models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, model: str, replica_id: str, report: ReplicaReport) -> None:
        """Replace a replica's last report, and delete those of replicas that are gone."""
        now = datetime.now(UTC)
        with self._database.transaction("report_replica") as connection:
            lock_model(connection, model)
            mine = (replicas.c.model == model) & (replicas.c.replica_id == replica_id)
            gone = (replicas.c.model == model) & (replicas.c.reported_at < now - SILENCE)
            connection.execute(delete(replicas).where(mine | gone))
            connection.execute(
                insert(replicas).values(model=model, replica_id=replica_id, reported_at=now, **report.model_dump())
            )

    def of(self, model: str) -> Sequence[Row[Any]]:
        """Return the replicas with a recent report."""
        since = datetime.now(UTC) - SILENCE
        with self._database.transaction("list_replicas") as connection:
            found = select(replicas).where(replicas.c.model == model, replicas.c.reported_at >= since)
            return connection.execute(found.order_by(replicas.c.replica_id)).all()
