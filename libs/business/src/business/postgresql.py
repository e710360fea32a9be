"""Reading PostgreSQL, through a cursor on the server."""

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class
from psycopg2.extensions import new_type, register_type, string_types

from business.csv_rows import CsvBatches, CsvColumn, Form
from business.database import BusinessDatabase, CopyCsv, ResultColumn, Rows, first_line
from business.days import POSTGRESQL_DAYS, DaySql
from business.errors import BusinessDatabaseError, UnusableUrlError
from business.statements import WrappedStatement
from business.syntax import POSTGRESQL, Syntax

_DECLARE = "DECLARE extraction NO SCROLL CURSOR FOR "
_GONE_SECONDS = 60
# Classes of SQLSTATE against which a change of the SQL doesn't help: connection, rollback, resources, operator, system,
# internal.
_UNAVAILABLE = ("08", "40", "53", "57", "58", "XX", "F0")
_LOCK_NOT_AVAILABLE = "55P03"
_IDLE_TOO_LONG = ("25P03", "25P04")
# date, time, timestamp, timestamptz, interval, timetz, json, jsonb: their Python types have a smaller range.
_AS_TEXT = (1082, 1083, 1114, 1184, 1186, 1266, 114, 3802)
# int8, int2, int4; float4, float8, numeric; "char", name, text, char(n), varchar.
_FORMS = (
    dict.fromkeys((20, 21, 23), Form.INTEGER)
    | dict.fromkeys((700, 701, 1700), Form.NUMBER)
    | dict.fromkeys((18, 19, 25, 1042, 1043, *_AS_TEXT), Form.TEXT)
)


class PostgresqlDatabase(BusinessDatabase):
    """A connection to PostgreSQL."""

    dialect: ClassVar[str] = "postgresql"
    syntax: ClassVar[Syntax] = POSTGRESQL
    days: ClassVar[DaySql] = POSTGRESQL_DAYS
    # A database in SQL_ASCII contains text that is not UTF-8.
    driver_errors: ClassVar[tuple[type[Exception], ...]] = (psycopg2.Error, UnicodeDecodeError)

    def _open(self) -> None:
        _, options = self._url.get_dialect()().create_connect_args(self._url)
        given: dict[str, Any] = {
            "connect_timeout": max(1, round(self._timeouts.connect)),
            "tcp_user_timeout": _GONE_SECONDS * 1000,
            "keepalives_idle": _GONE_SECONDS,
            "application_name": "recsys",
            **options,
        }
        self._connection: Connection = psycopg2.connect(**given)
        self._connection.set_client_encoding("UTF8")
        register_type(new_type(_AS_TEXT, "TEXT", lambda value, _: value), self._connection)
        with self._connection.cursor() as cursor:
            # Not as options of the connection: a pooler in front rejects those.
            cursor.execute(
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
                "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres';"
                "SET LOCAL standard_conforming_strings = on;"
                f"SET LOCAL statement_timeout = {round(self._timeouts.statement * 1000)};"
                f"SET LOCAL lock_timeout = {round(self._timeouts.lock * 1000)};"
                # The order of rows without ORDER BY is that of one process, as in a cursor.
                "SET LOCAL max_parallel_workers_per_gather = 0;"
                # After its first query a transaction can no longer be changed to read-write.
                "SELECT 1"
            )

    def _stream(self, statement: WrappedStatement, batch_rows: int) -> tuple[list[ResultColumn], Iterator[Rows]]:
        cursor = self._connection.cursor()
        found = [ResultColumn(name, str(type_)) for name, type_ in _declare(cursor, statement)]
        return found, self._fetch(cursor, batch_rows)

    def _open_csv(self, statement: WrappedStatement) -> tuple[list[CsvColumn], CopyCsv]:
        with self._connection.cursor() as cursor:
            found = _declare(cursor, statement)
            cursor.execute("CLOSE extraction")
            columns = [_csv_column(name, type_, cursor) for name, type_ in found]
        return columns, partial(self._copy_csv, statement)

    def _copy_csv(self, statement: WrappedStatement, batches: CsvBatches) -> None:
        with self._connection.cursor() as cursor:
            # The protocol has one message for each row, and the driver one call for each message.
            cursor.copy_expert(f"COPY ({statement.sql}) TO STDOUT (FORMAT csv)", batches)

    def _fetch(self, cursor: "psycopg2.extensions.cursor", batch_rows: int) -> Iterator[Rows]:
        with cursor:
            try:
                while True:
                    cursor.execute(f"FETCH FORWARD {batch_rows} FROM extraction")
                    if not (rows := cursor.fetchall()):
                        break
                    yield rows
            finally:
                if self._connection.status == psycopg2.extensions.STATUS_IN_TRANSACTION and not self._has_failed():
                    cursor.execute("CLOSE extraction")

    def _has_failed(self) -> bool:
        return self._connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_INTRANS

    def _close(self) -> None:
        self._connection.close()

    def _relations_sql(self, schema: str | None) -> str:
        seen = "pg_table_is_visible(c.oid)" if schema is None else f"n.nspname = '{schema}'"
        return (
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608 - our own names
            f"WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {seen}"
        )

    def _translate(self, error: Exception, statement: WrappedStatement | None) -> BusinessDatabaseError:
        state = getattr(error, "pgcode", None)
        if statement is None:
            # Without a connection the error is about the connection's options.
            is_option = isinstance(error, psycopg2.ProgrammingError) and state is None
            return (
                UnusableUrlError(self._redact(first_line(error))) if is_option else self._unavailable(first_line(error))
            )
        if isinstance(error, UnicodeDecodeError):
            return statement.inner.error("a text is not UTF-8; select it by convert_from(…)")
        if state is None or state[:2] in _UNAVAILABLE or state in (_LOCK_NOT_AVAILABLE, *_IDLE_TOO_LONG):
            return self._unavailable(first_line(error))
        diagnostics = getattr(error, "diag", None)
        position = getattr(diagnostics, "statement_position", None)
        words = getattr(diagnostics, "message_primary", None) or first_line(error)
        # Positions are characters of the sent text, from 1.
        offset = None if position is None else int(position) - 1 - len(_DECLARE) - len(statement.head)
        return statement.inner.error(self._redact(words), offset)


def _declare(cursor: "psycopg2.extensions.cursor", statement: WrappedStatement) -> list[tuple[str, int]]:
    """Declare the cursor of a statement; return the names and types of the columns of its result."""
    cursor.execute(_DECLARE + statement.sql)
    cursor.execute("FETCH FORWARD 0 FROM extraction")
    return [(column.name, column.type_code) for column in cursor.description or ()]


def _csv_column(name: str, type_: int, cursor: "psycopg2.extensions.cursor") -> CsvColumn:
    form = _FORMS.get(type_)
    # The driver gives the text of types that it doesn't know.
    if form is Form.TEXT or type_ not in string_types:
        return CsvColumn(name, Form.TEXT, str)
    return CsvColumn(name, form or Form.OTHER, partial(_parse, string_types[type_], cursor))


def _parse(cast: Any, cursor: "psycopg2.extensions.cursor", text: str) -> object:
    value: object = cast(text, cursor)
    return value
