"""Adds the facts that a search goes by to versions that a registry of an earlier release took in."""

import logging

from pydantic import ValidationError
from sqlalchemy import ColumnElement, and_, select
from starlette.concurrency import run_in_threadpool

from contracts.bundle import BundleManifest
from model_registry.database import Database, lock_model
from model_registry.tables import version_facts, versions
from model_registry.versions import labels

# At the start, and again while a registry of an earlier release may still run beside this one.
INTERVAL_SECONDS = 3600.0
# A manifest takes kilobytes, and each batch holds the lock of its model.
_BATCH = 200
_log = logging.getLogger(__name__)


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
            last: int | None = 0
            while last is not None:
                last = self._add_batch(model, last)

    def _add_batch(self, model: str, after: int) -> int | None:
        """Add facts to the next versions; return the last one of them, None if there is none."""
        found = select(versions).where(versions.c.model == model, versions.c.version > after, _is_missing())
        with self._database.transaction("add_missing_facts") as connection:
            # Another registry may do the same, or set the first description of a version.
            lock_model(connection, model)
            rows = connection.execute(found.order_by(versions.c.version).limit(_BATCH)).all()
            for row in rows:
                try:
                    manifest = BundleManifest.model_validate(row.manifest)
                except ValidationError:
                    # Of an earlier release, which had fewer bounds.
                    _log.warning("the manifest of %s %d can't be read: no search finds it by words", model, row.version)
                    continue
                labels.add_facts(connection, row, manifest, None)
        return rows[-1].version if rows else None


def _is_missing() -> ColumnElement[bool]:
    same = and_(version_facts.c.model == versions.c.model, version_facts.c.version == versions.c.version)
    return ~select(version_facts.c.version).where(same).exists()
