"""The processes that serve a model, as they report."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select

from contracts.deployments import ReplicaReport
from model_registry.database import Database, lock_model
from model_registry.tables import replicas

# A replica reports at least once a minute; after this time without a report it is gone.
SILENCE = timedelta(minutes=2)
# Of one model, three per replica at most. A caller that invents names can't fill the disk.
MAX_REPORTS = 3000


class Replicas:
    """The replicas of all models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, model: str, replica_id: str, report: ReplicaReport) -> None:
        """Replace a replica's last report of a mode, and delete those of replicas that are gone."""
        now = datetime.now(UTC)
        of_model = replicas.c.model == model
        with self._database.transaction("report_replica") as connection:
            lock_model(connection, model)
            mine = (replicas.c.replica_id == replica_id) & (replicas.c.mode == report.mode)
            gone = replicas.c.reported_at < now - SILENCE
            connection.execute(delete(replicas).where(of_model & (mine | gone)))
            if (connection.scalar(select(func.count()).where(of_model)) or 0) >= MAX_REPORTS:
                oldest = select(func.min(replicas.c.reported_at)).where(of_model).scalar_subquery()
                connection.execute(delete(replicas).where(of_model & (replicas.c.reported_at == oldest)))
            connection.execute(
                insert(replicas).values(model=model, replica_id=replica_id, reported_at=now, **report.model_dump())
            )

    def of(self, model: str) -> Sequence[Row[Any]]:
        """Return the recent reports of a model's replicas."""
        since = datetime.now(UTC) - SILENCE
        with self._database.transaction("list_replicas") as connection:
            found = select(replicas).where(replicas.c.model == model, replicas.c.reported_at >= since)
            return connection.execute(found.order_by(replicas.c.replica_id, replicas.c.mode)).all()
