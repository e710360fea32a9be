"""Reading an SQLite file."""

import math
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from business.database import BusinessDatabase, ResultColumn, Rows, first_line
from business.days import SQLITE_DAYS, SQLITE_ROWS_HASH, DaySql, RowsHash
from business.errors import BusinessDatabaseError
from business.statements import Statement, WrappedStatement
from business.syntax import SQLITE, Syntax

# Primary result codes that a change of the SQL corrects; the others are those of the file, the disk or another writer.
_OF_THE_SQL = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_RANGE,
    }
)
_NEAR = re.compile(r'near "(?P<word>.+?)": |: (?:.*\.)?(?P<name>\w+)(?:\(\))?$')
_PROBE = "recsys_probe"
# About a millisecond.
_INSTRUCTIONS_PER_LOOK = 100_000


class SqliteDatabase(BusinessDatabase):
    """An SQLite file, opened for reading."""

    dialect: ClassVar[str] = "sqlite"
    syntax: ClassVar[Syntax] = SQLITE
    days: ClassVar[DaySql] = SQLITE_DAYS
    driver_errors: ClassVar[tuple[type[Exception], ...]] = (sqlite3.Error, sqlite3.Warning)

    def _open(self) -> None:
        path = Path(self._url.database or "").absolute()
        self._connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, timeout=self._timeouts.lock, isolation_level=None
        )
        self._due = math.inf
        self._connection.set_progress_handler(self._is_late, _INSTRUCTIONS_PER_LOOK)
        self._connection.create_aggregate(SQLITE_ROWS_HASH, -1, RowsHash)  # type: ignore[arg-type] # typeshed wants one argument
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute("BEGIN")

    def _stream(self, statement: WrappedStatement, batch_rows: int) -> tuple[list[ResultColumn], Iterator[Rows]]:
        with self._time_limit():
            cursor = self._connection.execute(statement.sql)
        found = [ResultColumn(name, "") for name, *_ in cursor.description or ()]
        return found, self._fetch(cursor, batch_rows)

    def _fetch(self, cursor: sqlite3.Cursor, batch_rows: int) -> Iterator[Rows]:
        while True:
            with self._time_limit():
                rows = cursor.fetchmany(batch_rows)
            if not rows:
                break
            yield rows
        cursor.close()

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        """Limit the time of SQLite's work in this block; SQLite has no timeout of its own for that."""
        self._due = time.monotonic() + self._timeouts.statement
        try:
            yield
        finally:
            self._due = math.inf

    def _is_late(self) -> bool:
        return time.monotonic() > self._due

    def _close(self) -> None:
        self._connection.close()

    def _relations_sql(self, schema: str | None) -> str:
        del schema
        return "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"

    def _translate(self, error: Exception, statement: WrappedStatement | None) -> BusinessDatabaseError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if statement is None or code & 0xFF not in _OF_THE_SQL:
            return self._unavailable(first_line(error))
        return statement.inner.error(first_line(error), self._locate(error, statement.inner))

    def _locate(self, error: Exception, statement: Statement) -> int | None:
        """Return the offset of the word that SQLite names; of several, the one whose change SQLite notices."""
        found = _NEAR.search(first_line(error))
        word = (found["word"] or found["name"]).lower() if found else ""
        tokens = [each for each in self.syntax.tokens(statement.sql) if each.text.strip('"`[]').lower() == word]
        for token in tokens if len(tokens) > 1 else ():
            end = token.start + len(token.text)
            changed = Statement(f"{statement.sql[: token.start]}{_PROBE}{statement.sql[end:]}", statement.source)
            try:
                self._connection.execute(f"EXPLAIN {changed.wrap(self.syntax).sql}")
            except sqlite3.Error as probed:
                if _PROBE in str(probed):
                    return token.start
        return tokens[0].start if tokens else None
