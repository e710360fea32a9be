"""Separates the user's mistakes, which stop the run with a message, from faults of the database, which are reported."""

from collections.abc import Iterator
from contextlib import contextmanager

from business import DatabaseUnavailableError, UnusableUrlError, UserSqlError
from pipeline.business.database import DatabaseError
from pipeline.errors import InputError
from pipeline.sentry_utils import track_database_issue, track_database_ok

_OPERATION = "extract"


@contextmanager
def reading(database: str) -> Iterator[None]:
    """Convert the errors of reading a database to `InputError`, or to `DatabaseError`, which is reported."""
    try:
        yield
    except (UserSqlError, UnusableUrlError) as error:
        raise InputError(str(error)) from error
    except DatabaseUnavailableError as error:
        track_database_issue(_OPERATION, database, error)
        raise DatabaseError(_OPERATION, database, error) from error


def note_read(database: str) -> None:
    """End the incident of an earlier fault: all data of this database has been read."""
    track_database_ok(_OPERATION, database)
