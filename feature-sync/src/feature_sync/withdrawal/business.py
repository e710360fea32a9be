"""Reads the deleted datasets from the business database: one connection at a time, closed afterwards, read-only."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from business import (
    BusinessDatabase,
    DatabaseUnavailableError,
    Statement,
    Timeouts,
    UnusableUrlError,
    UserSqlError,
    open_business_database,
    parse_row_id,
    text_of_id,
)
from contracts.ids import UnusableIdError
from feature_sync.withdrawal.deleted import BusinessDatabaseAwayError, Deleted, NothingToFollowError, UnusableQueryError

QUERY_FILE = "withdrawn.sql"
_SETTING = "BUSINESS_DATABASE_URL"
_TABLE = "datasets"
_OURS = Statement(f"SELECT id FROM {_TABLE} WHERE is_deleted", f"table {_TABLE}")  # noqa: S608 - our own name
# A light query: if it takes longer, the database is in trouble, and the next read is a minute later.
_TIMEOUTS = Timeouts(connect=5, statement=15, lock=5)
_FILES = ("sqlite", "duckdb")


class BusinessDeleted:
    """`DeletedDatasets` of a business database; `sql_folder` may hold `withdrawn.sql`, a SELECT with a column `id`."""

    def __init__(self, url: str, sql_folder: Path | None) -> None:
        self._url = url
        self._file = None if sql_folder is None else sql_folder / QUERY_FILE

    def read(self) -> Deleted:
        """See `DeletedDatasets`."""
        if _is_missing_file(self._url):
            raise NothingToFollowError("the business database's file doesn't exist yet")
        try:
            own = Statement.of_file(self._file) if self._file is not None and self._file.is_file() else None
            with open_business_database(self._url, _SETTING, _TIMEOUTS) as database:
                if own is None and _TABLE not in database.relations():
                    raise NothingToFollowError(
                        f"the business database has no table {_TABLE}, and there is no {QUERY_FILE}"
                    )
                return _read(database, own or _OURS)
        except DatabaseUnavailableError as error:
            raise BusinessDatabaseAwayError(str(error)) from error
        except (UserSqlError, UnusableUrlError) as error:
            raise UnusableQueryError(str(error)) from error


def _read(database: BusinessDatabase, statement: Statement) -> Deleted:
    rows = database.rows(statement)
    if "id" not in rows.columns:
        raise statement.error(f"the result lacks id; it has {', '.join(rows.columns)}")
    place = rows.columns.index("id")
    return _parse_deleted(row[place] for batch in rows for row in batch)


def _is_missing_file(url: str) -> bool:
    try:
        target = make_url(url)
    except (ArgumentError, ValueError):
        return False
    return target.get_backend_name() in _FILES and bool(target.database) and not Path(target.database or "").exists()


def _parse_deleted(values: Iterable[object]) -> Deleted:
    ids: dict[int, str | None] = {}
    unusable = 0
    for value in values:
        try:
            ids[parse_row_id(value, "dataset")] = text_of_id(value)
        except UnusableIdError:
            unusable += 1
    return Deleted(ids, unusable)
