"""The table of withdrawn datasets, which is authoritative: the list in Redis follows it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    and_,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from contracts.ids import MAX_ID_CHARS
from feature_sync.errors import DeletedInDatabaseError, WithdrawalsUnavailableError
from feature_sync.events.tables import SCHEMA
from servicekit.database import UtcDateTime

Source = Literal["operator", "database"]

MAX_REASON_CHARS = 500
# SQLite accepts 32,766 values in one statement.
_ROWS_PER_STATEMENT = 10_000

metadata = MetaData(schema=SCHEMA)
withdrawn_datasets = Table(
    "withdrawn_datasets",
    metadata,
    # A row for each source: if one restores the dataset, the other may still withdraw it.
    Column("dataset_id", BigInteger, primary_key=True, autoincrement=False),
    Column("source", String(16), primary_key=True),
    Column("external_id", String(MAX_ID_CHARS)),
    Column("reason", String(MAX_REASON_CHARS)),
    Column("withdrawn_at", UtcDateTime, nullable=False),
)
_table = withdrawn_datasets.c


class WithdrawnRow(NamedTuple):
    """One dataset, and who withdrew it, why and when."""

    dataset_id: int
    source: Source
    external_id: str | None
    reason: str | None
    withdrawn_at: datetime


class Changes(NamedTuple):
    """The numbers of added and removed rows."""

    added: int
    removed: int


class WithdrawnTable:
    """Every call raises `WithdrawalsUnavailableError` while the database is away; nothing has changed then."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert

    def ids(self) -> list[int]:
        """Return the ids of all withdrawn datasets, ascending."""
        with self._transaction() as connection:
            found = connection.execute(select(_table.dataset_id).distinct().order_by(_table.dataset_id))
            return list(found.scalars())

    def count(self) -> dict[Source, int]:
        """Return the number of rows of each source."""
        with self._transaction() as connection:
            counts = connection.execute(select(_table.source, func.count()).group_by(_table.source))
            return {found.source: found[1] for found in counts}

    def rows(self, *, limit: int, offset: int = 0) -> list[WithdrawnRow]:
        """Return the latest rows first."""
        latest = withdrawn_datasets.select().order_by(_table.withdrawn_at.desc(), _table.dataset_id, _table.source)
        with self._transaction() as connection:
            return [_row(found) for found in connection.execute(latest.limit(limit).offset(offset))]

    def withdraw(
        self, dataset_id: int, *, external_id: str | None, reason: str | None, at: datetime
    ) -> tuple[WithdrawnRow, bool]:
        """Return an operator's row, and whether it is new; an existing one gets the new reason."""
        mine = _of(dataset_id, "operator")
        values = {
            "dataset_id": dataset_id,
            "source": "operator",
            "external_id": external_id,
            "reason": reason,
            "withdrawn_at": at,
        }
        with self._transaction() as connection:
            inserted = connection.execute(self._insert(withdrawn_datasets).values(values).on_conflict_do_nothing())
            is_new = inserted.rowcount == 1
            if not is_new and reason is not None:
                connection.execute(update(withdrawn_datasets).where(mine).values(reason=reason))
            return _row(connection.execute(withdrawn_datasets.select().where(mine)).one()), is_new

    def restore(self, dataset_id: int) -> bool:
        """Remove an operator's row and return whether there was one; raises `DeletedInDatabaseError`."""
        with self._transaction() as connection:
            deleted = select(_table.dataset_id).where(_of(dataset_id, "database"))
            if connection.execute(deleted).first() is not None:
                raise DeletedInDatabaseError(
                    f"Dataset {dataset_id} is deleted in the business database: undelete it there, "
                    "and answers show it again within two minutes."
                )
            return connection.execute(delete(withdrawn_datasets).where(_of(dataset_id, "operator"))).rowcount == 1

    def follow_database(self, deleted: Mapping[int, str | None], *, at: datetime) -> Changes:
        """Make the rows of the business database equal to `deleted` (id → external id); an operator's stay."""
        with self._transaction() as connection:
            mine = select(_table.dataset_id).where(_table.source == "database")
            before = set(connection.execute(mine).scalars())
            added, removed = sorted(deleted.keys() - before), sorted(before - deleted.keys())
            rows = [
                {
                    "dataset_id": dataset_id,
                    "source": "database",
                    "external_id": deleted[dataset_id],
                    "reason": None,
                    "withdrawn_at": at,
                }
                for dataset_id in added
            ]
            if rows:
                connection.execute(self._insert(withdrawn_datasets).on_conflict_do_nothing(), rows)
            for start in range(0, len(removed), _ROWS_PER_STATEMENT):
                part = removed[start : start + _ROWS_PER_STATEMENT]
                gone = and_(_table.source == "database", _table.dataset_id.in_(part))
                connection.execute(delete(withdrawn_datasets).where(gone))
        return Changes(len(added), len(removed))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (DBAPIError, PoolTimeoutError) as error:
            raise WithdrawalsUnavailableError(
                "The database doesn't answer: nothing has changed. Retry when it does."
            ) from error


def _of(dataset_id: int, source: Source) -> Any:
    return and_(_table.dataset_id == dataset_id, _table.source == source)


def _row(found: Any) -> WithdrawnRow:
    return WithdrawnRow(found.dataset_id, found.source, found.external_id, found.reason, found.withdrawn_at)


def now() -> datetime:
    """Return the time of a change."""
    return datetime.now(UTC)
