"""The business database, asked for what is deleted: read-only, one connection at a time, none kept."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchTableError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from contracts.ids import UnusableIdError, is_numeric_id, parse_id
from feature_sync.withdrawal.deleted import BusinessDatabaseAwayError, Deleted, NothingToFollowError, UnusableQueryError

QUERY_FILE = "withdrawn.sql"
_OURS = "SELECT id FROM datasets WHERE is_deleted"
_CONNECT_SECONDS = 5
_POSTGRES_OPTIONS = "-c statement_timeout=15000 -c lock_timeout=5000 -c default_transaction_read_only=on"


class BusinessDatabase:
    """`DeletedDatasets` by SQLAlchemy; `sql_folder` may hold `withdrawn.sql`, a SELECT with one column `id`."""

    def __init__(self, url: str, sql_folder: Path | None) -> None:
        self._url = url
        self._file = None if sql_folder is None else sql_folder / QUERY_FILE
        self._engine: Engine | None = None

    def read(self) -> Deleted:
        """See `DeletedDatasets`."""
        own = self._own_query()
        try:
            with self._opened().connect() as connection:
                if own is None:
                    _require_ours(connection)
                return _deleted(_run(connection, _OURS if own is None else own))
        except DBAPIError as error:
            raise BusinessDatabaseAwayError(_reason(error)) from error

    def _own_query(self) -> str | None:
        if self._file is None or not self._file.is_file():
            return None
        try:
            return self._file.read_text(encoding="utf-8-sig").strip().rstrip(";")
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableQueryError(f"{QUERY_FILE}: {error}") from error

    def _opened(self) -> Engine:
        if self._engine is None:
            try:
                self._engine = _open(make_url(self._url))
            except (ArgumentError, ImportError) as error:
                raise UnusableQueryError("BUSINESS_DATABASE_URL: not a usable SQLAlchemy URL") from error
        return self._engine


def _open(url: URL) -> Engine:
    kind = url.get_backend_name()
    if kind == "sqlite":
        if not url.database or not Path(url.database).exists():
            raise NothingToFollowError("the business database's file doesn't exist yet")
        read_only = f"file:{Path(url.database).absolute().as_posix()}"
        url = url.set(database=read_only, query={"mode": "ro", "uri": "true"})
        return create_engine(url, poolclass=NullPool, connect_args={"timeout": _CONNECT_SECONDS})
    options = {"options": _POSTGRES_OPTIONS} if kind == "postgresql" else {}
    return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_SECONDS, **options})


def _require_ours(connection: Connection) -> None:
    try:
        columns = {column["name"] for column in inspect(connection).get_columns("datasets")}
    except NoSuchTableError as error:
        raise NothingToFollowError(
            f"the business database has no table datasets, and there is no {QUERY_FILE}"
        ) from error
    if not {"id", "is_deleted"} <= columns:
        raise NothingToFollowError(f"its table datasets has no column is_deleted, and there is no {QUERY_FILE}")


def _run(connection: Connection, query: str) -> list[object]:
    # A colon in the user's SQL (a cast) is no bind parameter.
    wrapped = text("SELECT id FROM ({}\n) AS withdrawn".format(query.replace(":", r"\:")))  # noqa: S608 - the operator's own
    try:
        return list(connection.execute(wrapped).scalars())
    except (ProgrammingError, OperationalError) as error:
        if isinstance(error, OperationalError) and not _is_faulty_sqlite(connection, error):
            raise
        raise UnusableQueryError(f"{QUERY_FILE}: {_reason(error)}") from error


def _is_faulty_sqlite(connection: Connection, error: OperationalError) -> bool:
    faults = ("no such", "syntax error", "incomplete input", "readonly")
    return connection.dialect.name == "sqlite" and any(fault in str(error.orig) for fault in faults)


def _deleted(values: Iterable[object]) -> Deleted:
    ids: dict[int, str | None] = {}
    unusable = 0
    for value in values:
        try:
            number = parse_id(value, "dataset")
        except UnusableIdError:
            unusable += 1
        else:
            ids[number] = value if isinstance(value, str) and not is_numeric_id(value) else None
    return Deleted(ids, unusable)


def _reason(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error).__name__
