"""Forgets a user: first the mark and the event log, then Redis. A background step finishes what was interrupted."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple, TypeVar

import monitoring
from feature_sync.connections import REDIS_ERRORS, RedisFaults
from feature_sync.errors import ForgettingUnavailableError, ForgettingUnfinishedError
from feature_sync.events.tables import SCHEMA
from feature_sync.forgetting.calls import LogLockedError, call_database
from feature_sync.forgetting.removal import RemovedFromRedis, UserRemoval
from feature_sync.forgetting.table import DueRemoval, Marked, MarkTable
from feature_sync.metrics import Metrics
from servicekit.database_calls import DatabaseCalls
from servicekit.health import Check

_log = logging.getLogger(__name__)

# How soon this worker knows the marks of others.
MARKS_SECONDS = 2.0
# The deletion of a user with millions of events takes seconds.
DATABASE_SECONDS = 20.0
# How often a log that another session has locked is tried.
_LOCK_TRIES = 4
_LOCK_PAUSE_SECONDS = 1.0
_OPERATION = "forget_user"

T = TypeVar("T")


class Forgotten(NamedTuple):
    """The moment before which all is forgotten, and the numbers of what was removed, by name."""

    moment: datetime
    removed: dict[str, int]


class Forgetting:
    """Removes users. `now` and `sleep` are those of the moment: no answer comes before it."""

    def __init__(
        self,
        table: MarkTable,
        calls: DatabaseCalls,
        removal: UserRemoval,
        faults: RedisFaults,
        metrics: Metrics,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.check = Check(status="healthy", detail="not read yet")
        self._table = table
        self._calls = calls
        self._removal = removal
        self._faults = faults
        self._metrics = metrics
        self._now = now
        self._sleep = sleep
        self._recoveries = monitoring.Recoveries("pipeline.database")

    async def forget(self, user_id: int) -> Forgotten:
        """Remove all that is stored about a user; whether there was anything or not.

        Raises `ForgettingUnavailableError` and `ForgettingUnfinishedError`.
        """
        marked = await self._mark(user_id)
        moment = marked.moment.timestamp()
        await self._sleep(max(0.0, moment - self._now()))
        try:
            removed = await self._remove(user_id, moment)
        except REDIS_ERRORS as error:
            raise ForgettingUnfinishedError(
                "The user is forgotten in the event log, and new events count. Redis doesn't answer: what it holds "
                "about the user is removed when it is back, without a further call."
            ) from error
        await self._call(self._table.note_removed, marked.number)
        logged = {
            "events": marked.events,
            "exposures": marked.exposures,
            "served_features": marked.served_features,
        }
        return Forgotten(marked.moment, {**logged, **removed.counts()})

    async def _mark(self, user_id: int) -> Marked:
        # Between two tries the events get their turn.
        for _ in range(_LOCK_TRIES - 1):
            with suppress(LogLockedError):
                return await self._call(self._table.forget, user_id)
            await self._sleep(_LOCK_PAUSE_SECONDS)
        return await self._call(self._table.forget, user_id)

    async def step(self) -> None:
        """Read the marks of other workers, and finish removals; a fault is reported, and the next step retries."""
        try:
            await self._call(self._table.load)
            for due in await self._call(self._table.due):
                await self._finish(due)
            unfinished = await self._call(self._table.unfinished)
        except ForgettingUnavailableError as error:
            self._recoveries.note_failure(database=SCHEMA, operation=_OPERATION)
            monitoring.report(
                "pipeline.database", error=error.__cause__ or error, database=SCHEMA, operation=_OPERATION
            )
            self.check = Check(status="degraded", detail="the database doesn't answer")
        except REDIS_ERRORS:
            # Reported.
            self.check = Check(status="degraded", detail="a removal waits for Redis")
        else:
            self._recoveries.note_success(database=SCHEMA, operation=_OPERATION)
            self._metrics.unfinished_removals.set(unfinished)
            marks = len(self._table.current.moments)
            self.check = Check(status="healthy", detail=f"{marks} users, {unfinished} removals to finish")

    async def _finish(self, due: DueRemoval) -> None:
        removed = await self._remove(due.user_id, due.moment.timestamp())
        if due.is_last:
            await self._call(self._table.note_finished, due.number)
        else:
            await self._call(self._table.note_removed, due.number)
        # Without the user's id: a log is kept.
        _log.info("removal %d of a forgotten user was continued: %s", due.number, removed.counts())

    async def _remove(self, user_id: int, moment: float) -> RemovedFromRedis:
        with self._faults.report_faults():
            return await self._removal.remove(user_id, moment)

    async def _call(self, call: Callable[..., T], *arguments: object) -> T:
        return await call_database(self._calls, call, *arguments)
