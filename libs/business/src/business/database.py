"""Read-only access to the business database of any kind."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self
from urllib.parse import quote, quote_plus

from sqlalchemy import URL

from business.csv_rows import CsvBatches, CsvColumn, CsvRows
from business.days import DaySql
from business.errors import BusinessDatabaseError, DatabaseUnavailableError
from business.statements import Statement, WrappedStatement
from business.syntax import Syntax

Rows = Sequence[tuple[Any, ...]]
CopyCsv = Callable[[CsvBatches], None]
BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Timeouts:
    """The longest waits in seconds: for a connection, for one statement or batch, and for a lock.

    All rows as CSV are one statement.
    """

    connect: float = 5
    # An extraction of millions of rows is slow, but not stuck.
    statement: float = 3600
    lock: float = 30


class ResultColumn(NamedTuple):
    """A column of a result: its name, and its type as the driver names it (empty on SQLite, which has none)."""

    name: str
    type: str


@dataclass(frozen=True)
class RowBatches:
    """The result of a statement: its column names, and its rows in batches, read once.

    `types` are the names of the columns' types, as the driver has them.
    """

    columns: list[str]
    types: list[str]
    batches: Iterator[Rows]

    def __iter__(self) -> Iterator[Rows]:
        return self.batches


class BusinessDatabase(ABC):
    """One connection with one transaction that can only read; close it, or use it in a `with`.

    Times are returned as the database writes them, because some are outside of Python's calendar: text in ISO 8601 if
    possible, with `+00` if the column has a zone. Decimals are `Decimal`, UUIDs are text or `UUID`.
    """

    dialect: ClassVar[str]
    syntax: ClassVar[Syntax]
    days: ClassVar[DaySql]
    # The exceptions of the driver, including those of value conversions.
    driver_errors: ClassVar[tuple[type[Exception], ...]]

    def __init__(self, url: URL, timeouts: Timeouts) -> None:
        self._url = url
        self._timeouts = timeouts
        with self._translated(None):
            self._open()

    @property
    def address(self) -> str:
        """The database's URL without user and password."""
        return without_credentials(self._url)

    def rows(
        self,
        statement: Statement,
        *,
        columns: Sequence[str] = (),
        where: str = "",
        group_by: str = "",
        batch_rows: int = BATCH_ROWS,
    ) -> RowBatches:
        """Run a SELECT, or a SELECT of `columns` with `where` and `group_by` over it; raises `UserSqlError`.

        The rows raise `UserSqlError` and `DatabaseUnavailableError` too.
        """
        wrapped = statement.wrap(self.syntax, columns, where, group_by)
        with self._translated(wrapped):
            found, batches = self._stream(wrapped, batch_rows)
        names, types = [column.name for column in found], [column.type for column in found]
        return RowBatches(names, types, self._translate_batches(wrapped, batches))

    def csv_rows(
        self, statement: Statement, *, columns: Sequence[str] = (), where: str = "", batch_rows: int = BATCH_ROWS
    ) -> CsvRows | None:
        """Return the rows that `rows` gives, as CSV; None if this kind of database doesn't write it.

        Raises `UserSqlError`; `send` of the result raises it and `DatabaseUnavailableError` too.
        """
        wrapped = statement.wrap(self.syntax, columns, where)
        with self._translated(wrapped):
            found = self._open_csv(wrapped)
        if found is None:
            return None
        csv_columns, copy = found
        return CsvRows(csv_columns, partial(self._send_csv, wrapped, copy, batch_rows))

    def relations(self, schema: str | None = None) -> frozenset[str]:
        """Return the names of the tables and views of a schema, or of those that need no schema in their name."""
        statement = Statement(self._relations_sql(schema), "catalogue")
        return frozenset(str(row[0]) for batch in self.rows(statement) for row in batch)

    def close(self) -> None:
        """End the transaction and the connection."""
        with self._translated(None):
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except BusinessDatabaseError:
            # The first error is the one to report.
            if error is None:
                raise

    @abstractmethod
    def _open(self) -> None: ...
    @abstractmethod
    def _stream(self, statement: WrappedStatement, batch_rows: int) -> tuple[list[ResultColumn], Iterator[Rows]]: ...
    def _open_csv(self, _: WrappedStatement) -> tuple[list[CsvColumn], CopyCsv] | None:
        """Return the columns of a result, and what writes each row by one call; None without CSV."""
        return None

    @abstractmethod
    def _close(self) -> None: ...
    @abstractmethod
    def _relations_sql(self, schema: str | None) -> str: ...
    @abstractmethod
    def _translate(self, error: Exception, statement: WrappedStatement | None) -> BusinessDatabaseError: ...

    def _unavailable(self, words: str) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(self._redact(words))

    def _redact(self, words: str) -> str:
        password = self._url.password
        for form in {password, quote(password, safe=""), quote_plus(password)} if password else ():
            words = words.replace(form, "[password]")
        return words

    def _translate_batches(self, statement: WrappedStatement, batches: Iterator[Rows]) -> Iterator[Rows]:
        with self._translated(statement):
            yield from batches

    def _send_csv(
        self, statement: WrappedStatement, copy: CopyCsv, batch_rows: int, receive: Callable[[bytes], None]
    ) -> None:
        with self._translated(statement):
            batches = CsvBatches(receive, batch_rows)
            copy(batches)
            batches.flush()

    @contextmanager
    def _translated(self, statement: WrappedStatement | None) -> Iterator[None]:
        try:
            yield
        except self.driver_errors as error:
            # The driver's own exception may contain the connection's parameters.
            raise self._translate(error, statement) from None


def without_credentials(url: URL) -> str:
    """Return a database's URL without user and password, which may change while the data stays the same."""
    return URL.create(url.drivername, None, None, url.host, url.port, url.database, url.query).render_as_string()


def first_line(error: object) -> str:
    """Return the first line of a driver's message."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
