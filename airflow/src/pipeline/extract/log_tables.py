"""The tables of feature-sync's event log, on PostgreSQL and on SQLite."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from business import BusinessDatabase, Statement
from business.database import BATCH_ROWS

SCHEMA = "events"


class Period(NamedTuple):
    """From a moment on, and before another one."""

    since: datetime
    until: datetime


def relations_of(log: BusinessDatabase) -> frozenset[str]:
    """Return the names of the tables that are there."""
    return log.relations(None if log.dialect == "sqlite" else SCHEMA)


def table_name(dialect: str, name: str) -> str:
    """Return the whole name of a table of the log; SQLite has no schemas."""
    return name if dialect == "sqlite" else f"{SCHEMA}.{name}"


def select_rows(log: BusinessDatabase, sql: str, name: str, *, batch_rows: int = BATCH_ROWS) -> Iterator[Sequence[Any]]:
    """Yield the rows of a SELECT over the log's table `name`."""
    for batch in log.rows(Statement(sql, f"table {name}"), batch_rows=batch_rows):
        yield from batch


def period_condition(dialect: str, period: Period) -> str:
    """Return the SQL condition that `ts` is in the period."""
    # SQLite stores text in UTC, without a zone.
    form = "'{:%Y-%m-%d %H:%M:%S.%f}'" if dialect == "sqlite" else "TIMESTAMPTZ '{:%Y-%m-%d %H:%M:%S.%f}+00'"
    since, until = (form.format(moment.astimezone(UTC)) for moment in period)
    return f"ts >= {since} AND ts < {until}"
