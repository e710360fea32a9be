"""The training log: every behaviour event once, by its id."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.dialects import sqlite
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

from contracts.events import BehaviorEvent, Exposure
from contracts.moments import CLOCK_AHEAD
from feature_sync.events.exposures import insert_exposures, is_of_caller, without_known
from feature_sync.events.pending_outcomes import WINDOW_SQL, note_events
from feature_sync.events.tables import behavior_events

# Classes of SQLSTATE. psycopg2 raises an OperationalError for a value that is too large for an index, too.
_PROGRAM_LIMIT = "54"
# Among them 25006: the server is read-only.
_INVALID_TRANSACTION = "25"
# A caller that repeats an event may give it another time. After a day the id counts as new for recommender-api, too.
SAME_EVENT_WITHIN = timedelta(days=1)
_ROWS = TypeAdapter(list[BehaviorEvent])
# One value for all rows: binding nine values a row costs this process three times as much. The bounds of the batch keep
# the look at the ids to one or two partitions.
_INSERT_JSON = text(
    f"""WITH logged AS (INSERT INTO events.behavior_events
    (event_id, type, user_id, dataset_id, request_id, position, experiment_variant, ts, received_at)
    SELECT event_id, type, user_id, dataset_id, request_id, position, experiment_variant, ts, :received
    FROM json_to_recordset(CAST(:rows AS json)) AS given(event_id text, type text, user_id bigint, dataset_id bigint,
    request_id text, position integer, experiment_variant text, ts timestamptz)
    WHERE NOT EXISTS (SELECT FROM events.behavior_events AS known WHERE known.event_id = given.event_id
    AND known.ts BETWEEN :first AND :last AND known.ts BETWEEN given.ts - :within AND given.ts + :within)
    ON CONFLICT DO NOTHING RETURNING *)
    INSERT INTO events.pending_outcomes
    (event_id, ts, type, user_id, dataset_id, request_id, earliest, latest, received_at)
    SELECT event_id, ts, type, user_id, dataset_id, request_id, ts - {WINDOW_SQL}, ts + :ahead,
    received_at FROM logged WHERE {WINDOW_SQL} IS NOT NULL"""  # noqa: S608 - our own constants
)
# Insertions through the table lock it, too, and not only the partition. VACUUM has no interest in it.
_LOCK = "LOCK TABLE ONLY events.behavior_events IN %s MODE"


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

    def add(
        self,
        events: Sequence[BehaviorEvent],
        verify: Callable[[Connection], None] | None = None,
        *,
        exposures: Sequence[Exposure] = (),
        may_be_repeats: bool = False,
    ) -> None:
        """Insert all events and exposures or none; existing ones are not changed.

        With `may_be_repeats`, others insert nothing meanwhile: one of them may be about to insert the same event with
        another time. `verify` is called in the transaction, after the insertion: if it raises, no event is stored.
        Raises `LogUnavailableError` and `EventsNotTakenError`.
        """
        try:
            with self._engine.begin() as connection:
                if may_be_repeats or any(map(is_of_caller, events)):
                    lock_insertions(connection)
                    events = without_known(connection, events)
                if exposures:
                    join_insertions(connection)
                    insert_exposures(connection, exposures, datetime.now(UTC))
                if events:
                    self._insert(connection, events)
                if verify is not None:
                    verify(connection)
        # A value that cannot be bound is a StatementError before the driver sees it, and the driver's own ValueError (a
        # NUL, half a surrogate) or OverflowError after that.
        except (StatementError, PoolTimeoutError, ValueError, OverflowError) as error:
            raise translate_error(error) from error

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
        if self._engine.dialect.name == "postgresql":
            given = _without_repeats(events)
            times = [event.ts for event in given]
            values = {
                "rows": _ROWS.dump_json(given).decode(),
                "received": received,
                "within": SAME_EVENT_WITHIN,
                "ahead": CLOCK_AHEAD,
                "first": min(times) - SAME_EVENT_WITHIN,
                "last": max(times) + SAME_EVENT_WITHIN,
            }
            connection.execute(_INSERT_JSON, values)
            return
        known = select(behavior_events.c.event_id).where(
            behavior_events.c.event_id.in_([event.event_id for event in events])
        )
        left_out = set(connection.execute(known).scalars())
        new = {event.event_id: event for event in reversed(events) if event.event_id not in left_out}
        if new:
            rows = [{**event.model_dump(), "received_at": received} for event in new.values()]
            connection.execute(sqlite.insert(behavior_events).on_conflict_do_nothing(), rows)
            note_events(connection, new.values(), received)

    def answers(self) -> bool:
        """Return whether the database accepts queries."""
        try:
            with self._engine.connect() as connection:
                connection.execute(behavior_events.select().limit(0))
        except (DBAPIError, PoolTimeoutError):
            return False
        return True


def lock_insertions(connection: Connection) -> None:
    """Wait until the events that are being inserted are there, and let no others in until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(_LOCK % "SHARE ROW EXCLUSIVE"))


def join_insertions(connection: Connection) -> None:
    """Let `lock_insertions` wait for this transaction as if it inserted an event."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(_LOCK % "ROW EXCLUSIVE"))


def _without_repeats(events: Sequence[BehaviorEvent]) -> list[BehaviorEvent]:
    """Leave out those whose id an earlier event of the batch has, within a day of it."""
    times: dict[str, datetime] = {}
    kept = []
    for event in events:
        first = times.setdefault(event.event_id, event.ts)
        if first is event.ts or abs(event.ts - first) > SAME_EVENT_WITHIN:
            kept.append(event)
    return kept


def translate_error(error: Exception) -> LogUnavailableError | EventsNotTakenError:
    """Return what an error of SQLAlchemy means for the rows that were to be inserted."""
    original = error.orig if isinstance(error, StatementError) else None
    message = str(original or error)
    if isinstance(error, PoolTimeoutError) or (isinstance(error, DBAPIError) and _is_unavailable(error)):
        return LogUnavailableError(message)
    in_data = not isinstance(error, DBAPIError) or isinstance(error, DataError | IntegrityError)
    return EventsNotTakenError(message, lies_in_data=in_data or _state_of(error).startswith(_PROGRAM_LIMIT))


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
