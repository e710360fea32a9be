"""The training log: every behaviour event once, by its id."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import BigInteger, Column, Engine, Index, Integer, MetaData, String, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from contracts.events import BehaviorEvent
from servicekit.database import UtcDateTime

SCHEMA = "events"
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
    """The database doesn't take events now; they stay in the stream, and are tried again."""


class EventLog:
    """The table `behavior_events`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, events: Sequence[BehaviorEvent]) -> None:
        """Insert events; those that are there already stay as they are. Raises `LogUnavailableError`."""
        received = datetime.now(UTC)
        rows = [{**event.model_dump(), "received_at": received} for event in events]
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        try:
            with self._engine.begin() as connection:
                connection.execute(dialect.insert(behavior_events).on_conflict_do_nothing(), rows)
        except DBAPIError as error:
            raise LogUnavailableError(str(error.orig)) from error

    def answers(self) -> bool:
        """Say whether the database takes queries."""
        try:
            with self._engine.connect() as connection:
                connection.execute(behavior_events.select().limit(0))
        except DBAPIError:
            return False
        return True
