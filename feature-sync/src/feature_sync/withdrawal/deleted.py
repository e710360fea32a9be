"""Follows the deletions in the business database."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.concurrency import run_in_threadpool

import monitoring
from feature_sync.errors import WithdrawalsUnavailableError
from feature_sync.metrics import Metrics
from feature_sync.withdrawal.publisher import WithdrawnPublisher
from feature_sync.withdrawal.table import WithdrawnTable, now
from servicekit.health import Check

_log = logging.getLogger(__name__)

_DATABASE, _OPERATION, _CHECK = "business", "read_deleted_datasets", "withdrawn_sql"


class BusinessDatabaseAwayError(Exception):
    """The business database doesn't answer: the known deletions stay."""


class UnusableQueryError(Exception):
    """The business database can't run the query: correct withdrawn.sql; the known deletions stay."""


class NothingToFollowError(Exception):
    """There is no table of deleted datasets: following is off until there is one."""


@dataclass(frozen=True)
class Deleted:
    """The external ids by id, None if they are the same; and the number of rows without a usable id."""

    ids: Mapping[int, str | None]
    unusable: int = 0


class DeletedDatasets(Protocol):
    """The port to the business database: one light, read-only query."""

    def read(self) -> Deleted:
        """Return all currently deleted datasets.

        Raises `BusinessDatabaseAwayError`, `UnusableQueryError` or `NothingToFollowError`.
        """
        ...


class DeletedFollower:
    """One `step` updates the table from the business database; `check` is its result."""

    def __init__(
        self, deleted: DeletedDatasets, table: WithdrawnTable, publisher: WithdrawnPublisher, metrics: Metrics
    ) -> None:
        self.check = Check(status="healthy", detail="not read yet")
        self._deleted = deleted
        self._table = table
        self._publisher = publisher
        self._metrics = metrics
        self._database = monitoring.Recoveries("pipeline.database")
        self._query = monitoring.Recoveries("pipeline.data_quality")

    async def step(self) -> None:
        """Update once; a fault is reported, and the known deletions stay."""
        try:
            deleted = await run_in_threadpool(self._deleted.read)
        except NothingToFollowError as error:
            self._nothing_to_follow(error)
        except BusinessDatabaseAwayError as error:
            self._away(error)
        except UnusableQueryError as error:
            self._unusable(error)
        else:
            await self._follow(deleted)

    async def _follow(self, deleted: Deleted) -> None:
        self._healthy_again()
        try:
            changes = await run_in_threadpool(self._table.follow_database, deleted.ids, at=now())
        except WithdrawalsUnavailableError:
            # The publisher uses the same database and reports its faults.
            self.check = Check(status="degraded", detail="deleted datasets can't be written to the database `events`")
            return
        self._metrics.followed_at.set_to_current_time()
        if any(changes):
            _log.info("the business database deleted %d datasets and restored %d", *changes)
            await self._publisher.try_publish()
        detail = f"{len(deleted.ids)} deleted in the business database"
        if deleted.unusable:
            detail += f"; {deleted.unusable} rows have no usable id"
        self.check = Check(status="degraded" if deleted.unusable else "healthy", detail=detail)

    def _nothing_to_follow(self, error: NothingToFollowError) -> None:
        self._healthy_again()
        self.check = Check(status="healthy", detail=f"off: {error}")

    def _away(self, error: BusinessDatabaseAwayError) -> None:
        self._database.note_failure(database=_DATABASE, operation=_OPERATION)
        self.check = Check(status="degraded", detail=f"the business database doesn't answer: {error}")
        monitoring.report("pipeline.database", error=error.__cause__ or error, database=_DATABASE, operation=_OPERATION)

    def _unusable(self, error: UnusableQueryError) -> None:
        self._query.note_failure(check_name=_CHECK)
        self.check = Check(status="degraded", detail=str(error))
        monitoring.report("pipeline.data_quality", check_name=_CHECK, severity="warning", details=str(error))

    def _healthy_again(self) -> None:
        self._database.note_success(database=_DATABASE, operation=_OPERATION)
        self._query.note_success(check_name=_CHECK)
