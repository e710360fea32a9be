"""The audit log: a row for each call that may change something, written before the call and completed after it.

The table lies in the service's own schema; each service has a migration that creates it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request

from contracts.audit import AuditEntry, AuditLogPage
from contracts.query_values import MAX_WHOLE_NUMBER, WholeNumber
from servicekit.bearer import Access, caller_of
from servicekit.database import UtcDateTime
from servicekit.database_calls import DatabaseCalls, DatabaseTimeoutError
from servicekit.errors import ServiceError
from servicekit.guards import Recorder
from servicekit.problems import problem_responses
from servicekit.request_ids import request_id_of
from servicekit.routing import ApiRouter

MAX_ENTRIES = 1000
MAX_REASON_CHARS = 4000
MAX_NAME_CHARS = 200
# A database that hangs holds up a call for so long; the call is then not carried out.
_SECONDS = 5.0
# Outcomes that couldn't be written are kept in memory, and tried again for about 15 minutes.
MAX_LATE = 1000
_FIRST_DELAY_SECONDS = 1.0
_MAX_DELAY_SECONDS = 60.0
_MAX_TRIES = 20
_NOT_WRITTEN = "the audit log can't be written now, so nothing has changed; try again later"
_PERSONAL = "{user_id"
_log = logging.getLogger(__name__)

_Sleep = Callable[[float], Awaitable[None]]


class AuditUnavailableError(ServiceError):
    """The audit log can't be read or written now, and nothing was changed: repeat the call later."""

    status = 503
    retry_after = 5


class AuditLog(Recorder):
    """The audit log of one service, with an engine and a thread of its own: calls that wait for locks don't block it.

    A call whose entry can't be written is not carried out. An outcome that can't be written is written later.
    """

    def __init__(
        self,
        engine: Engine,
        schema: str,
        service: str,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: _Sleep = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._calls = DatabaseCalls(engine, _SECONDS)
        self._service = service
        self._clock = clock
        self._sleep = sleep
        self._late: deque[Any] = deque()
        self._completing: asyncio.Task[None] | None = None
        self._table = Table(
            "audit_log",
            MetaData(schema=schema),
            Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
            Column("at", UtcDateTime, nullable=False),
            Column("token", String(MAX_NAME_CHARS), nullable=False),
            Column("action", String(200), nullable=False),
            Column("target", Text, nullable=False),
            Column("status", Integer),
            Column("by", String(MAX_NAME_CHARS)),
            Column("reason", Text),
            Column("request_id", String(128), nullable=False),
        )

    async def begin(self, request: Request, action: str) -> int:
        """Write the entry of a call before it is carried out; return its number. Raises `AuditUnavailableError`."""
        values = {
            "at": self._clock(),
            "token": caller_of(request),
            "action": action,
            # A user who is forgotten must not stay in this log.
            "target": action if _PERSONAL in action else _storable(request.scope["path"]),
            "request_id": request_id_of(request.scope),
        }
        statement = insert(self._table).values(values).returning(self._table.c.id)
        return int(await self._run(lambda connection: connection.execute(statement).scalar_one(), _NOT_WRITTEN))

    async def complete(self, entry: int, status: int, by: object, reason: object) -> None:
        """Add the outcome of a call, and who and why, if those are texts."""
        values = {"status": status, "by": _text(by, MAX_NAME_CHARS), "reason": _text(reason, MAX_REASON_CHARS)}
        statement = update(self._table).where(self._table.c.id == entry).values(values)
        try:
            await self._run(lambda connection: connection.execute(statement), _NOT_WRITTEN)
        except AuditUnavailableError:
            self._complete_later(statement)

    async def close(self) -> None:
        """Write the outcomes that are late, if the database answers, and close the connections."""
        if self._completing is not None:
            self._completing.cancel()
        try:
            while self._late:
                await self._write_late()
        except AuditUnavailableError:
            _log.warning("the outcomes of %d calls are not in the audit log", len(self._late))
        self._calls.close()

    async def entries(self, limit: int, before: int) -> list[AuditEntry]:
        """Return the newest entries with a smaller number than `before`; raises `AuditUnavailableError`."""
        found = select(self._table).where(self._table.c.id < before).order_by(self._table.c.id.desc()).limit(limit)

        def read(connection: Connection) -> list[AuditEntry]:
            rows = connection.execute(found).mappings()
            return [AuditEntry(service=self._service, **row) for row in rows]

        return list(await self._run(read, "the audit log can't be read now; try again later"))

    def _complete_later(self, statement: Any) -> None:
        if len(self._late) >= MAX_LATE:
            _log.warning("the outcome of a call is not in the audit log: %d others are late", MAX_LATE)
            return
        self._late.append(statement)
        if self._completing is None or self._completing.done():
            self._completing = asyncio.get_running_loop().create_task(self._complete_late())

    async def _complete_late(self) -> None:
        tries, delay = 0, _FIRST_DELAY_SECONDS
        while self._late:
            await self._sleep(delay)
            try:
                await self._write_late()
                tries, delay = 0, 0.0
            except AuditUnavailableError:
                tries, delay = tries + 1, min(max(2 * delay, _FIRST_DELAY_SECONDS), _MAX_DELAY_SECONDS)
            if tries == _MAX_TRIES:
                _log.warning("the outcome of a call is not in the audit log: %d tries failed", tries)
                self._late.popleft()
                tries = 0

    async def _write_late(self) -> None:
        statement = self._late[0]
        await self._run(lambda connection: connection.execute(statement), _NOT_WRITTEN)
        self._late.popleft()

    async def _run(self, call: Callable[[Connection], Any], failure: str) -> Any:
        def run() -> Any:
            with self._engine.begin() as connection:
                return call(connection)

        try:
            return await self._calls.run(run)
        except (SQLAlchemyError, DatabaseTimeoutError) as error:
            _log.warning("the audit log's database failed: %s", type(error).__name__)
            raise AuditUnavailableError(failure) from error


def router(audit: AuditLog, access: Access) -> ApiRouter:
    """Return the route that shows the log."""
    routes = ApiRouter(tags=["audit"])

    @routes.get("/audit", responses=problem_responses(503), dependencies=access.allow("reader", "admin"))
    async def get_audit_log(
        limit: Annotated[int, WholeNumber(1, MAX_ENTRIES), Query(description="Maximum number of entries")] = 100,
        before: Annotated[
            int, WholeNumber(1), Query(description="Only entries with a smaller number: the last of the page before")
        ] = MAX_WHOLE_NUMBER,
    ) -> AuditLogPage:
        """Return who called which change, with which token, and why; newest first."""
        return AuditLogPage(entries=await audit.entries(limit, before))

    return routes


def _text(value: object, most: int) -> str | None:
    return _storable(value[:most]) if isinstance(value, str) and value.strip() else None


def _storable(text: str) -> str:
    """Return a text without what PostgreSQL can't store."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
