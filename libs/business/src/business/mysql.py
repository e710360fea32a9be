"""Reading MySQL and MariaDB, by PyMySQL."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar, cast

import pymysql
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions
from pymysql.cursors import SSCursor

from business.database import BusinessDatabase, ResultColumn, Rows, first_line
from business.days import MYSQL_DAYS, DaySql
from business.errors import BusinessDatabaseError
from business.statements import WrappedStatement
from business.syntax import MYSQL, Syntax

# Error numbers against which a change of the SQL doesn't help: the server's resources, connections, shutdown, locks and
# time limits.
_UNAVAILABLE = frozenset(
    {
        *(1016, 1017, 1021, 1024, 1026, 1030, 1034, 1035, 1037, 1038, 1040, 1041, 1042, 1043, 1053, 1077, 1079, 1080),
        *(1114, 1129, 1130, 1135, 1152, 1153, 1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161, 1184, 1194, 1195),
        *(1203, 1205, 1206, 1213, 1226, 1317, 1836, 1927, 1969, 3024, 3058, 3572),
    }
)
# From here on the errors are the client's: no connection, or a broken one.
_CLIENT_ERRORS = range(2000, 3000)
_UNKNOWN_VARIABLE = 1193
_AT_LINE = re.compile(r" at line (\d+)$")


def _aware(text: str) -> str:
    """Mark a TIMESTAMP with its zone: the session returns it in UTC."""
    return f"{text}+00"


# Times stay text, including 0000-00-00.
_KEPT = {FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE, FIELD_TYPE.TIME, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP}
_CONVERSIONS = {key: value for key, value in conversions.items() if key not in _KEPT}
_CONVERSIONS[FIELD_TYPE.TIMESTAMP] = _aware


class _Cursor(SSCursor):
    """A cursor that streams, and that can be abandoned without reading its remaining rows."""

    _result: Any

    def leave(self) -> None:
        """Detach the connection, which is closed or about to be closed."""
        if self._result is not None:
            self._result.unbuffered_active = False
        self.connection = None  # type: ignore[assignment] # as PyMySQL's own close() does


class MysqlDatabase(BusinessDatabase):
    """A connection to MySQL or MariaDB."""

    dialect: ClassVar[str] = "mysql"
    syntax: ClassVar[Syntax] = MYSQL
    days: ClassVar[DaySql] = MYSQL_DAYS
    driver_errors: ClassVar[tuple[type[Exception], ...]] = (pymysql.MySQLError, OSError, UnicodeDecodeError)

    def _open(self) -> None:
        self._cursor: _Cursor | None = None
        _, options = self._url.get_dialect()().create_connect_args(self._url)
        seconds = round(self._timeouts.statement + self._timeouts.lock)
        # SQLAlchemy asks for matched instead of changed rows; nothing is changed here.
        given: dict[str, Any] = {"charset": "utf8mb4", **options, "client_flag": 0}
        self._connection = pymysql.connect(
            **given,
            connect_timeout=max(1, round(self._timeouts.connect)),
            read_timeout=seconds,
            write_timeout=seconds,
            autocommit=True,
            local_infile=False,
            conv=cast("Any", _CONVERSIONS),
        )
        lock = max(1, round(self._timeouts.lock))
        self._execute("SET time_zone = '+00:00'")
        self._execute(f"SET SESSION lock_wait_timeout = {lock}, SESSION innodb_lock_wait_timeout = {lock}")
        self._limit_statements()
        # A DDL statement can end a read-only transaction; this setting still applies then.
        self._execute("SET SESSION TRANSACTION READ ONLY")
        self._execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def _limit_statements(self) -> None:
        """Set the time limit of a statement, which has different names in MariaDB and MySQL."""
        seconds = max(1, round(self._timeouts.statement))
        try:
            self._execute(f"SET SESSION max_statement_time = {seconds}")
        except pymysql.MySQLError as error:
            if _number(error) != _UNKNOWN_VARIABLE:
                raise
            self._execute(f"SET SESSION max_execution_time = {seconds * 1000}")

    def _execute(self, sql: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)

    def _stream(self, statement: WrappedStatement, batch_rows: int) -> tuple[list[ResultColumn], Iterator[Rows]]:
        cursor = self._cursor = self._connection.cursor(_Cursor)
        cursor.execute(statement.sql)
        found = [ResultColumn(column[0], str(column[1])) for column in cursor.description or ()]
        return found, _fetch(cursor, batch_rows)

    def _close(self) -> None:
        if self._cursor is not None:
            self._cursor.leave()
        if self._connection.open:
            self._connection.close()

    def _relations_sql(self, schema: str | None) -> str:
        where = "DATABASE()" if schema is None else f"'{schema}'"
        return f"SELECT table_name FROM information_schema.tables WHERE table_schema = {where}"  # noqa: S608 - our own names

    def _translate(self, error: Exception, statement: WrappedStatement | None) -> BusinessDatabaseError:
        number = _number(error)
        words = error.args[1] if len(error.args) > 1 else first_line(error)
        if statement is None:
            return self._unavailable(first_line(words))
        if isinstance(error, UnicodeDecodeError):
            return statement.inner.error("a text is not UTF-8; select it by CONVERT(… USING utf8mb4)")
        if number is None or number in _UNAVAILABLE or number in _CLIENT_ERRORS:
            return self._unavailable(first_line(words))
        found = _AT_LINE.search(str(words))
        return statement.inner.error(self._redact(" ".join(str(words).split())), line=int(found[1]) if found else None)


def _number(error: Exception) -> int | None:
    first = error.args[0] if error.args else None
    return first if isinstance(first, int) and isinstance(error, pymysql.MySQLError) else None


def _fetch(cursor: _Cursor, batch_rows: int) -> Iterator[Rows]:
    with cursor:
        while rows := _fetch_batch(cursor, batch_rows):
            yield rows


def _fetch_batch(cursor: _Cursor, batch_rows: int) -> Rows:
    try:
        return cursor.fetchmany(batch_rows)
    except (pymysql.MySQLError, OSError):
        cursor.leave()
        raise
