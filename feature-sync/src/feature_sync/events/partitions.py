"""Monthly partitions of the event log: they are made ahead, and dropped when all of their events are too old."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, Table, bindparam, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

import monitoring
from feature_sync.events.tables import SCHEMA
from servicekit.database import UtcDateTime
from servicekit.database_calls import DatabaseCalls, DatabaseTimeoutError

_log = logging.getLogger(__name__)

MONTHS_AHEAD = 2
# Insertions wait behind a lock that waits.
_LOCK_MILLISECONDS = 1000
_LOCK_NOT_AVAILABLE = "55P03"
# A deletion of some thousand rows takes less than a tenth of a second.
_ROWS_PER_DELETION = 5_000
_DELETIONS = 40
# A portion takes some seconds, in which reads of the table may have to wait. What is left waits for the next hour.
ROWS_PER_PORTION = 100_000
_PORTIONS = 40
# A statement reads all of the default partition.
_STATEMENT_MILLISECONDS = 45_000
_OPERATION = "look_after_partitions"
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_BOUNDS = re.compile(r"FROM \((?:MINVALUE|'([^']+)')\) TO \('([^']+)'\)")


class LogRetention:
    """Looks after tables with a column `ts`. From those without partitions, as all are on SQLite, rows are deleted."""

    def __init__(
        self,
        engine: Engine,
        calls: DatabaseCalls,
        tables: Sequence[Table],
        days: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        rows_per_portion: int = ROWS_PER_PORTION,
    ) -> None:
        self._engine = engine
        self._calls = calls
        self._tables = tables
        self._keep = timedelta(days=days)
        self._now = now
        self._rows_per_portion = rows_per_portion
        self._recoveries = monitoring.Recoveries("pipeline.database")

    async def step(self) -> None:
        """Make and drop what is due. Each call fails alone: it is reported, and the next step retries it."""
        failures: list[Exception] = []
        partitioned, unbounded = [], []
        for table in self._tables:
            with _collect(failures):
                if await self._calls.run(self._is_partitioned, table):
                    partitioned.append(table)
                else:
                    unbounded.append(table.name)
        # What is cheap and keeps the tables usable comes first.
        for table in partitioned:
            for month in self._months_ahead():
                with _collect(failures):
                    await self._calls.run(self._make, table, month)
        for table in partitioned:
            with _collect(failures):
                for name in await self._calls.run(self._expired, table):
                    with _collect(failures):
                        await self._calls.run(self._drop, name)
            with _collect(failures):
                unbounded += await self._calls.run(self._unbounded, table)
        for name in unbounded:
            with _collect(failures):
                await self._delete_expired(name)
        for table in partitioned:
            with _collect(failures):
                for month in await self._calls.run(self._stray_months, table):
                    with _collect(failures):
                        await self._move_strays(table, month)
        self._report(failures)

    async def _delete_expired(self, name: str) -> None:
        for _ in range(_DELETIONS):
            if await self._calls.run(self._delete, name) < _ROWS_PER_DELETION:
                return

    async def _move_strays(self, table: Table, month: datetime) -> None:
        """Make partitions for what the default one has of a month: several, if it is much."""
        for _ in range(_PORTIONS):
            if not await self._calls.run(self._make, table, month):
                return

    def _report(self, failures: list[Exception]) -> None:
        if not failures:
            self._recoveries.note_success(database=SCHEMA, operation=_OPERATION)
            return
        self._recoveries.note_failure(database=SCHEMA, operation=_OPERATION)
        for error in failures:
            monitoring.report("pipeline.database", error=error, database=SCHEMA, operation=_OPERATION)

    def _is_partitioned(self, table: Table) -> bool:
        if self._engine.dialect.name == "sqlite":
            return False
        kind = text("SELECT relkind = 'p' FROM pg_class WHERE oid = CAST(:name AS regclass)")
        with self._engine.begin() as connection:
            return bool(connection.execute(kind, {"name": f"{SCHEMA}.{table.name}"}).scalar_one())

    def _months_ahead(self) -> list[datetime]:
        months = [_month(self._now())]
        for _ in range(MONTHS_AHEAD):
            months.append(_next_month(months[-1]))
        return months

    def _stray_months(self, table: Table) -> list[datetime]:
        """Return the months of the rows of the default partition that are not too old."""
        strays = text(
            f"SELECT DISTINCT date_trunc('month', ts, 'UTC') FROM {_default_of(table)} "  # noqa: S608 - our own name
            "WHERE ts >= :oldest AND ts < :newest"
        )
        given = {"oldest": self._now() - self._keep, "newest": _next_month(max(self._months_ahead()))}
        with self._engine.begin() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = {_STATEMENT_MILLISECONDS}"))
            return sorted(_month(found.astimezone(UTC)) for found in connection.execute(strays, given).scalars())

    def _make(self, table: Table, month: datetime) -> bool:
        """Make the partition of a month, or of the next part of it; return whether there was one to make."""
        parent = f"{SCHEMA}.{table.name}"
        columns = ", ".join(table.columns.keys())
        is_made = False
        with self._locked() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = {_STATEMENT_MILLISECONDS}"))
            # Before any row: who forgets a user locks in this order, too.
            connection.execute(text(f"LOCK TABLE ONLY {parent} IN SHARE UPDATE EXCLUSIVE MODE"))
            first, after = _free_part(connection, table, month)
            if first == after:
                return False  # another replica was faster
            after = self._end_of_portion(connection, table, first, after)
            name = f"{SCHEMA}.{table.name}_{first:%Y_%m}" + ("" if first == month else f"_{first:%d_%H%M%S_%f}")
            connection.execute(text(f"CREATE TABLE {name} (LIKE {parent} INCLUDING ALL)"))
            moved = connection.execute(
                text(
                    f"WITH moved AS (DELETE FROM {_default_of(table)} WHERE ts >= :first AND ts < :after RETURNING *) "  # noqa: S608 - our own names
                    f"INSERT INTO {name} ({columns}) SELECT {columns} FROM moved"
                ),
                {"first": first, "after": after},
            ).rowcount
            connection.execute(
                text(f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{after}')")
            )
            _log.info("made the partition %s, with %d rows that were there", name, moved)
            is_made = True
        return is_made  # noqa: RET504 - without the lock, the block ends early

    def _end_of_portion(self, connection: Connection, table: Table, first: datetime, after: datetime) -> datetime:
        """Return before which time the default partition has few enough rows to be moved at once, `after` at most.

        Rows of one moment are moved together.
        """
        beyond = text(
            f"SELECT ts FROM {_default_of(table)} WHERE ts > :first AND ts < :after "  # noqa: S608 - our own name
            f"ORDER BY ts OFFSET {self._rows_per_portion} LIMIT 1"
        )
        found = connection.execute(beyond, {"first": first, "after": after}).scalar()
        return after if found is None else found.astimezone(UTC)

    def _expired(self, table: Table) -> list[str]:
        with self._engine.begin() as connection:
            found = _partitions(connection, table)
        return [name for name, (_, after) in found.items() if after <= self._now() - self._keep]

    def _drop(self, name: str) -> None:
        with self._locked() as connection:
            connection.execute(text(f'DROP TABLE IF EXISTS {SCHEMA}."{name}"'))
            _log.info("dropped the partition %s: its rows are too old", name)

    def _unbounded(self, table: Table) -> list[str]:
        with self._engine.begin() as connection:
            found = _partitions(connection, table)
        return [f"{table.name}_default", *(name for name, (first, _) in found.items() if first == _BEGINNING)]

    def _delete(self, name: str) -> int:
        """Delete some rows that are too old, and return their number."""
        is_sqlite = self._engine.dialect.name == "sqlite"
        row, where = ("rowid", name) if is_sqlite else ("ctid", f'{SCHEMA}."{name}"')
        rows = f"SELECT {row} FROM {where} WHERE ts < :oldest LIMIT {_ROWS_PER_DELETION}"  # noqa: S608 - our own names
        found = f"IN ({rows})" if is_sqlite else f"= ANY(ARRAY({rows}))"
        statement = text(f"DELETE FROM {where} WHERE {row} {found}").bindparams(  # noqa: S608 - as above
            bindparam("oldest", type_=UtcDateTime)
        )
        with self._engine.begin() as connection:
            return connection.execute(statement, {"oldest": self._now() - self._keep}).rowcount

    @contextmanager
    def _locked(self) -> Iterator[Connection]:
        """Give a transaction whose locks wait for a second; what it can't lock then is left to the next step."""
        try:
            with self._engine.begin() as connection:
                connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}"))
                yield connection
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
                raise
            _log.warning("the event log is locked by another session; its partitions wait for the next hour")


def _partitions(connection: Connection, table: Table) -> dict[str, tuple[datetime, datetime]]:
    """Return the partitions with the times from which and before which they have events, without the default one."""
    # The catalogue writes times in the zone of the session.
    connection.execute(text("SET LOCAL timezone = 'UTC'"))
    found = connection.execute(
        text(
            "SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_inherits "
            "JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = CAST(:parent AS regclass)"
        ),
        {"parent": f"{SCHEMA}.{table.name}"},
    )
    bounds = {name: _BOUNDS.search(expression) for name, expression in found}
    return {
        name: (_moment(each[1]) if each[1] else _BEGINNING, _moment(each[2]))
        for name, each in bounds.items()
        if each is not None
    }


def _free_part(connection: Connection, table: Table, month: datetime) -> tuple[datetime, datetime]:
    """Return the bounds of what no partition has of a month; they are equal if it has all."""
    first, after = month, _next_month(month)
    for begin, end in sorted(_partitions(connection, table).values()):
        if begin <= first < end:
            first = min(end, after)
        elif first < begin < after:
            after = begin
    return first, after


@contextmanager
def _collect(failures: list[Exception]) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeoutError, DatabaseTimeoutError) as error:
        failures.append(error)


def _default_of(table: Table) -> str:
    return f"{SCHEMA}.{table.name}_default"


def _moment(written: str) -> datetime:
    return datetime.fromisoformat(written).astimezone(UTC)


def _month(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next_month(moment: datetime) -> datetime:
    return _month(_month(moment) + timedelta(days=32))
