"""Reading a DuckDB file, by DuckDB's own interface."""

import re
from collections.abc import Iterator
from typing import ClassVar

import duckdb

from business.database import BusinessDatabase, ResultColumn, Rows, first_line
from business.days import DUCKDB_DAYS, DaySql
from business.errors import BusinessDatabaseError
from business.statements import WrappedStatement
from business.syntax import DUCKDB, Syntax

# The driver's classes are DuckDB's kinds of error; a change of the SQL doesn't help against these.
_UNAVAILABLE = (
    duckdb.IOException,
    duckdb.ConnectionException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.InterruptException,
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
)
_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)
# Their Python types have a smaller range.
_AS_TEXT = re.compile(r"DATE|TIME.*|INTERVAL")


class DuckdbDatabase(BusinessDatabase):
    """A DuckDB file, opened to be read."""

    dialect: ClassVar[str] = "duckdb"
    syntax: ClassVar[Syntax] = DUCKDB
    days: ClassVar[DaySql] = DUCKDB_DAYS
    driver_errors: ClassVar[tuple[type[Exception], ...]] = (duckdb.Error, UnicodeDecodeError)

    def _open(self) -> None:
        self._connection = duckdb.connect(
            str(self._url.database),
            read_only=True,
            config={"autoinstall_known_extensions": False, "autoload_known_extensions": False, "threads": 2},
        )
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("BEGIN TRANSACTION READ ONLY")

    def _stream(self, statement: WrappedStatement, batch_rows: int) -> tuple[list[ResultColumn], Iterator[Rows]]:
        described = self._connection.execute(f"DESCRIBE {statement.sql}").fetchall()
        columns = ", ".join(_column(name, kind) for name, kind, *_ in described)
        result = self._connection.cursor().execute(f"SELECT {columns} FROM ({statement.sql})")  # noqa: S608 - checked
        return [ResultColumn(name, kind) for name, kind, *_ in described], _fetch(result, batch_rows)

    def _close(self) -> None:
        self._connection.close()

    def _relations_sql(self, schema: str | None) -> str:
        where = "current_schema()" if schema is None else f"'{schema}'"
        return f"SELECT table_name FROM information_schema.tables WHERE table_schema = {where}"  # noqa: S608 - our own names

    def _translate(self, error: Exception, statement: WrappedStatement | None) -> BusinessDatabaseError:
        if statement is None or isinstance(error, _UNAVAILABLE):
            return self._unavailable(first_line(error))
        found = _LINE.search(str(error))
        return statement.inner.error(first_line(error), line=int(found[1]) if found else None)


def _column(name: str, kind: str) -> str:
    quoted = '"{}"'.format(name.replace('"', '""'))
    return f"CAST({quoted} AS VARCHAR) AS {quoted}" if _AS_TEXT.fullmatch(kind) else quoted


def _fetch(result: duckdb.DuckDBPyConnection, batch_rows: int) -> Iterator[Rows]:
    while rows := result.fetchmany(batch_rows):
        yield rows
