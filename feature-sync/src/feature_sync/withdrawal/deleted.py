"""Following what the business database says is deleted."""

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
    """The business database doesn't answer: what is known stays."""


class UnusableQueryError(Exception):
    """The business database can't run the query: mend withdrawn.sql; what is known stays."""


class NothingToFollowError(Exception):
    """There is no table that says what is deleted: following is off until there is one."""


@dataclass(frozen=True)
class Deleted:
    """The external ids by id, None where they are the same; and how many rows hold no usable id."""

    ids: Mapping[int, str | None]
    unusable: int = 0


class DeletedDatasets(Protocol):
    """The business database as seen from here: one light, read-only query."""

    def read(self) -> Deleted:
        """Return all that is deleted now.

        Raises `BusinessDatabaseAwayError`, `UnusableQueryError` or `NothingToFollowError`.
        """
        ...


class DeletedFollower:
    """One `step` brings the table to what the business database says; `check` is how it went."""

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
        """Follow once; a fault is reported, and what was known holds."""
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
            # The publisher works on the same database and reports its faults.
            self.check = Check(status="degraded", detail="what is deleted can't be written to the database `events`")
            return
        self._metrics.followed_at.set_to_current_time()
        if any(changes):
            _log.info("the business database deleted %d datasets and brought back %d", *changes)
            await self._publisher.try_publish()
        detail = f"{len(deleted.ids)} deleted in the business database"
        if deleted.unusable:
            detail += f"; {deleted.unusable} rows hold no usable id"
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
