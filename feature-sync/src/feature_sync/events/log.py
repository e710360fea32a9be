"""The training log: every behaviour event once, by its id."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import BigInteger, Column, Connection, Engine, Index, Integer, MetaData, String, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from contracts.events import BehaviorEvent
from servicekit.database import UtcDateTime

SCHEMA = "events"
# Classes of SQLSTATE. psycopg2 raises an OperationalError for a value that is too large for an index, too.
_PROGRAM_LIMIT = "54"
# Among them 25006: the server is read-only.
_INVALID_TRANSACTION = "25"
metadata = MetaData(schema=SCHEMA)

behavior_events = Table(
    "behavior_events",
    metadata,
    Column("event_id", String(64), primary_key=True),
    Column("type", String(16), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("dataset_id", BigInteger, nullable=False),
    Column("request_id", String(128)),
    Column("position", Integer),
    Column("experiment_variant", String(64)),
    Column("ts", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("behavior_events_ts", "ts"),
)


class LogUnavailableError(RuntimeError):
    """The database can't store events now; they stay in the stream and are retried."""


class EventsNotTakenError(RuntimeError):
    """The database rejected events. If `lies_in_data`, the events are the cause; otherwise it is undecided."""

    def __init__(self, text: str, *, lies_in_data: bool) -> None:
        super().__init__(text)
        self.lies_in_data = lies_in_data


class EventLog:
    """The table `behavior_events`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, events: Sequence[BehaviorEvent]) -> None:
        """Insert all events or none; existing ones are not changed.

        Raises `LogUnavailableError` and `EventsNotTakenError`.
        """
        try:
            with self._engine.begin() as connection:
                self._insert(connection, events)
        # A value that cannot be bound is a StatementError before the driver sees it, and the driver's own ValueError (a
        # NUL, half a surrogate) or OverflowError after that.
        except (StatementError, PoolTimeoutError, ValueError, OverflowError) as error:
            raise _translate(error) from error

    def takes_events(self) -> bool:
        """Return whether a valid event would be accepted now; the test event is not stored."""
        sound = BehaviorEvent(
            event_id=f"probe-{uuid4().hex}", type="view", user_id=1, dataset_id=1, ts=datetime.now(UTC)
        )
        try:
            with self._engine.connect() as connection:
                self._insert(connection, [sound])
                connection.rollback()
        except (StatementError, PoolTimeoutError, ValueError, OverflowError):
            return False
        return True

    def _insert(self, connection: Connection, events: Sequence[BehaviorEvent]) -> None:
        received = datetime.now(UTC)
        rows = [{**event.model_dump(), "received_at": received} for event in events]
        dialect: Any = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(behavior_events).on_conflict_do_nothing(), rows)

    def answers(self) -> bool:
        """Return whether the database accepts queries."""
        try:
            with self._engine.connect() as connection:
                connection.execute(behavior_events.select().limit(0))
        except (DBAPIError, PoolTimeoutError):
            return False
        return True


def _translate(error: Exception) -> LogUnavailableError | EventsNotTakenError:
    original = error.orig if isinstance(error, StatementError) else None
    text = str(original or error)
    if isinstance(error, PoolTimeoutError) or (isinstance(error, DBAPIError) and _is_unavailable(error)):
        return LogUnavailableError(text)
    in_data = not isinstance(error, DBAPIError) or isinstance(error, DataError | IntegrityError)
    return EventsNotTakenError(text, lies_in_data=in_data or _state_of(error).startswith(_PROGRAM_LIMIT))


def _is_unavailable(error: DBAPIError) -> bool:
    """Return whether the database is down, full, locked, read-only or without our tables: then no event is at fault."""
    if error.connection_invalidated or isinstance(error, InterfaceError | ProgrammingError):
        return True
    state = _state_of(error)
    if isinstance(error, OperationalError):
        return not state.startswith(_PROGRAM_LIMIT)
    return state.startswith(_INVALID_TRANSACTION)


def _state_of(error: Exception) -> str:
    """Return the SQLSTATE, empty if the driver has none."""
    return getattr(getattr(error, "orig", None), "pgcode", None) or ""
