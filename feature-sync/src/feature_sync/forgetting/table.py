"""The table of marks. A mark is written, and the user's events are removed from the log, in one transaction."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import NamedTuple

from pydantic import SecretStr
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    MetaData,
    String,
    Table,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from feature_sync.events.exposures import exposures
from feature_sync.events.log import lock_insertions
from feature_sync.events.pending_outcomes import pending_outcomes
from feature_sync.events.tables import SCHEMA, behavior_events
from feature_sync.forgetting.calls import transaction
from feature_sync.marks import Marks, MarksChangedError
from feature_sync.outcomes.tables import outcomes
from feature_sync.served_features.tables import served_features
from servicekit.database import UtcDateTime

# A request that removes by itself is left alone for so long.
RESUME_AFTER = timedelta(seconds=5)
# Then replicas have finished what they had begun before the removal: an answer that is cached a little later, a batch
# of events.
REPEAT_AFTER = timedelta(seconds=10)
_MAX_DUE = 100
# Insertions of events queue behind a lock that waits, so it waits for less than their deadline.
_LOCK_MILLISECONDS = 1000
# A process that hangs, or is cut off, with the lock holds up the events of all for no longer.
_IDLE_MILLISECONDS = 3000

metadata = MetaData(schema=SCHEMA)
forgotten_users = Table(
    "forgotten_users",
    metadata,
    Column("user_hmac", String(64), primary_key=True),
    # Grows with each mark, so that new ones are found.
    Column("number", BigInteger, nullable=False, unique=True),
    Column("forgotten_at", UtcDateTime, nullable=False),
    # The user's id until the removal is finished.
    Column("unfinished_user_id", BigInteger),
    Column("removed_at", UtcDateTime),
    Index("forgotten_users_unfinished", "unfinished_user_id"),
)
_table = forgotten_users.c


class Marked(NamedTuple):
    """A new mark: its number, its moment, and how many rows of each log were removed."""

    number: int
    moment: datetime
    events: int
    exposures: int
    served_features: int


class DueRemoval(NamedTuple):
    """A removal that has to be done now; `is_last` if it was done before."""

    number: int
    user_id: int
    moment: datetime
    is_last: bool


def lock_log(connection: Connection) -> None:
    """Lock the log for insertions, see `lock_insertions`, for a limited time."""
    connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}"))
    connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {_IDLE_MILLISECONDS}"))
    lock_insertions(connection)


class MarkTable:
    """`MarkSource`, and the steps of a removal. Calls block; all but `verify` raise `ForgettingUnavailableError`."""

    def __init__(
        self, engine: Engine, secret: SecretStr, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine = engine
        self._now = now
        self._insert = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert
        self._current = Marks(secret.get_secret_value().encode())
        self._lock = Lock()

    @property
    def current(self) -> Marks:
        """The marks in memory; `load` reads new ones."""
        return self._current

    def load(self) -> None:
        """Read new marks, which other workers may have written."""
        with transaction(self._engine) as connection:
            self._read_new(connection)

    def verify(self, connection: Connection, marks: Marks) -> None:
        """See `MarkSource`."""
        self._read_new(connection)
        if self._current is not marks:
            raise MarksChangedError

    def forget(self, user_id: int) -> Marked:
        """Mark a user and remove the user's events from the log.

        The moment is the next full second, because histories have full seconds: wait for it before you remove them.
        """
        with transaction(self._engine) as connection:
            if self._engine.dialect.name == "postgresql":
                lock_log(connection)
            moment = datetime.fromtimestamp(math.floor(self._now().timestamp()) + 1, UTC)
            number = connection.execute(select(func.coalesce(func.max(_table.number), 0) + 1)).scalar_one()
            values = {
                "number": number,
                "forgotten_at": moment,
                "unfinished_user_id": user_id,
                "removed_at": None,
            }
            row = self._insert(forgotten_users).values(user_hmac=self._current.hash_user(user_id).hex(), **values)
            connection.execute(row.on_conflict_do_update(index_elements=["user_hmac"], set_=values))
            events = behavior_events.c
            is_exposure = events.type == "exposure"
            callers = connection.execute(delete(behavior_events).where(events.user_id == user_id, is_exposure))
            others = connection.execute(delete(behavior_events).where(events.user_id == user_id))
            ours = connection.execute(delete(exposures).where(exposures.c.user_id == user_id))
            served = connection.execute(delete(served_features).where(served_features.c.user_id == user_id))
            # In this order: who attributes a pending event holds it until its outcome is there.
            for table in (pending_outcomes, outcomes):
                connection.execute(delete(table).where(table.c.user_id == user_id))
            marked = Marked(number, moment, others.rowcount, callers.rowcount + ours.rowcount, served.rowcount)
        self.load()
        return marked

    def due(self) -> list[DueRemoval]:
        """Return the removals that were interrupted, and those that have to be repeated."""
        now = self._now()
        never_done = _table.removed_at.is_(None) & (_table.forgotten_at <= now - RESUME_AFTER)
        to_repeat = _table.removed_at <= now - REPEAT_AFTER
        query = (
            forgotten_users.select()
            .where(_table.unfinished_user_id.is_not(None), never_done | to_repeat)
            .order_by(_table.number)
            .limit(_MAX_DUE)
        )
        with transaction(self._engine) as connection:
            return [
                DueRemoval(row.number, row.unfinished_user_id, row.forgotten_at, row.removed_at is not None)
                for row in connection.execute(query)
            ]

    def unfinished(self) -> int:
        """Return how many removals are not finished."""
        query = select(func.count()).where(_table.unfinished_user_id.is_not(None))
        with transaction(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def note_removed(self, number: int) -> None:
        """Record that a removal was done; it is repeated once."""
        self._update(number, removed_at=self._now())

    def note_finished(self, number: int) -> None:
        """Record that a removal was repeated: only the mark stays."""
        self._update(number, unfinished_user_id=None)

    def _update(self, number: int, **values: datetime | None) -> None:
        # The number: the user may have been forgotten again.
        with transaction(self._engine) as connection:
            connection.execute(update(forgotten_users).where(_table.number == number).values(**values))

    def _read_new(self, connection: Connection) -> None:
        with self._lock:
            current = self._current
            latest = connection.execute(select(func.coalesce(func.max(_table.number), 0))).scalar_one()
            if latest < current.number:
                # A backup was restored: its next marks have numbers that are known here.
                current = Marks(current.key)
            if latest == self._current.number:
                return
            query = select(_table.user_hmac, _table.number, _table.forgotten_at).order_by(_table.number)
            rows = connection.execute(query.where(_table.number > current.number)).all()
            new = {bytes.fromhex(row.user_hmac): row.forgotten_at.timestamp() for row in rows}
            self._current = Marks(current.key, rows[-1].number if rows else 0, {**current.moments, **new})
