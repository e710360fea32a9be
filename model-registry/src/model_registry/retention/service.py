"""Removal of old bundles: the rows are marked in one transaction, and the files are deleted after it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row
from starlette.concurrency import run_in_threadpool

from contracts.retention import KeepReason
from model_registry.artifacts import ArtifactStore
from model_registry.database import Database, lock_model
from model_registry.errors import UnavailableError
from model_registry.retention import queries
from model_registry.retention.rule import Limits, keep_reasons
from model_registry.versions import queries as version_queries

INTERVAL_SECONDS = 86_400.0
# A database or store that fails is asked again so often, not each half minute as by a loop that serves requests.
MAX_BACKOFF_SECONDS = 900.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetentionPlan:
    """Versions to be removed, and those that are kept with their reasons; newest first."""

    removed: list[Row[Any]]
    kept: list[tuple[Row[Any], list[KeepReason]]]


class Retention:
    """The retention of all models.

    `remove_parts` deletes what was stored beside the removed bundles of a model; raises `OSError`.
    """

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        limits: Limits,
        *,
        is_daily: bool = False,
        remove_parts: Callable[[str], None] = lambda _model: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._store = store
        self._remove_parts = remove_parts
        self._limits = limits
        self._is_daily = is_daily
        self._clock = clock

    def plan(self, model: str) -> RetentionPlan:
        """Return what would be removed now; raises `NotFoundError`."""
        with self._database.transaction("plan_retention") as connection:
            return self._plan(connection, model, self._clock())

    def apply(self, model: str) -> tuple[RetentionPlan, int]:
        """Remove what is not kept; return it, and how many files could not be deleted. Raises `NotFoundError`."""
        now = self._clock()
        with self._database.transaction("apply_retention") as connection:
            # A deployment takes the same lock, so it sees either the bundle or its removal.
            lock_model(connection, model)
            plan = self._plan(connection, model, now)
            version_queries.mark_removed(connection, model, [row.version for row in plan.removed], now)
        for row in plan.removed:
            _log.info("retention removes %s %s (sha256 %s)", model, row.version, row.sha256)
        return plan, self.delete_files(model, len(plan.removed))

    def delete_files(self, model: str, expected: int = 0) -> int:
        """Delete the files of removed versions, also those that an earlier run left; return how many remain.

        If the store can't be listed, that is the `expected` number.
        """
        with self._database.transaction("list_removed") as connection:
            removed = version_queries.removed_checksums(connection, model)
        if not removed:
            return 0
        try:
            self._remove_parts(model)
            leftovers = removed & self._store.checksums(model)
        except OSError as error:
            _log.warning("the artifact store can't be searched for removed bundles of %s: %s", model, error)
            return expected
        return sum(not self._delete_file(model, sha256) for sha256 in sorted(leftovers))

    async def step(self) -> None:
        """Delete what an earlier run left of all models; if retention is daily, apply it first."""
        await run_in_threadpool(self._run)

    def _run(self) -> None:
        with self._database.transaction("list_models") as connection:
            names = version_queries.names(connection)
        failed: list[Exception] = []
        for model in names:
            try:
                if self._is_daily:
                    self.apply(model)
                else:
                    self.delete_files(model)
            except UnavailableError:
                raise
            except Exception as error:  # noqa: BLE001 - one model must not stop the others
                _log.error("the retention of %s failed: %s", model, error)
                failed.append(error)
        if failed:
            raise failed[0]

    def _plan(self, connection: Connection, model: str, now: datetime) -> RetentionPlan:
        rows = version_queries.all_of(connection, model)
        reasons = keep_reasons(map(queries.state, rows), queries.usage(connection, model), self._limits, now)
        present = [row for row in rows if row.removed_at is None]
        return RetentionPlan(
            removed=[row for row in present if row.version not in reasons],
            kept=[(row, reasons[row.version]) for row in present if row.version in reasons],
        )

    def _delete_file(self, model: str, sha256: str) -> bool:
        """Delete a file unless its version was pushed again since; return whether that worked."""
        try:
            with self._database.transaction("delete_bundle") as connection:
                lock_model(connection, model)
                if version_queries.of_checksum(connection, model, sha256).removed_at is not None:
                    self._store.remove(model, sha256)
        except OSError as error:
            _log.warning("the removed bundle %s can't be deleted: %s", self._store.address(model, sha256), error)
            return False
        return True
