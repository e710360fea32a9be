"""Adds the facts that a search goes by to versions that a registry of an earlier release took in."""

from sqlalchemy import ColumnElement, Connection, and_, select
from starlette.concurrency import run_in_threadpool

from contracts.bundle import BundleManifest
from model_registry.database import Database, lock_model
from model_registry.tables import version_facts, versions
from model_registry.versions import labels

# At the start, and again while a registry of an earlier release may still run beside this one.
INTERVAL_SECONDS = 3600.0
# A manifest takes kilobytes, and each batch holds the lock of its model.
_BATCH = 200


class MissingFacts:
    """The versions of all models that have no row of facts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def step(self) -> None:
        """Add what is missing, batch by batch; raises `UnavailableError`."""
        await run_in_threadpool(self.add)

    def add(self) -> None:
        """Add what is missing, in this thread."""
        with self._database.transaction("find_missing_facts") as connection:
            models = connection.execute(select(versions.c.model).where(_is_missing()).distinct()).scalars().all()
        for model in models:
            while self._add_batch(model):
                pass

    def _add_batch(self, model: str) -> bool:
        with self._database.transaction("add_missing_facts") as connection:
            # Another registry may do the same, or set the first description of a version.
            lock_model(connection, model)
            return _add_facts(connection, model)


def _add_facts(connection: Connection, model: str) -> bool:
    found = select(versions).where(versions.c.model == model, _is_missing()).order_by(versions.c.version).limit(_BATCH)
    rows = connection.execute(found).all()
    for row in rows:
        labels.add_facts(connection, row, BundleManifest.model_validate(row.manifest), None)
    return bool(rows)


def _is_missing() -> ColumnElement[bool]:
    same = and_(version_facts.c.model == versions.c.model, version_facts.c.version == versions.c.version)
    return ~select(version_facts.c.version).where(same).exists()
