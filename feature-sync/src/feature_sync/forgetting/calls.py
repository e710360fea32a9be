"""Calls to the database: what is wrong with it becomes one error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from feature_sync.errors import ForgettingUnavailableError
from servicekit.database_calls import DatabaseCalls, DatabaseTimeoutError

T = TypeVar("T")
_LOCK_NOT_AVAILABLE = "55P03"


class LogLockedError(ForgettingUnavailableError):
    """The event log is locked for longer than events may wait."""


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Give a connection with a transaction; raises `ForgettingUnavailableError`."""
    try:
        with engine.begin() as connection:
            yield connection
    except (DBAPIError, PoolTimeoutError) as error:
        if getattr(getattr(error, "orig", None), "pgcode", None) == _LOCK_NOT_AVAILABLE:
            raise LogLockedError("Another session has locked the event log, such as VACUUM or a migration.") from error
        raise ForgettingUnavailableError(
            "The database doesn't answer. Retry when it does: a repeat is safe."
        ) from error


async def call_database(calls: DatabaseCalls, call: Callable[..., T], *arguments: object) -> T:
    """Return what a call returns; raises `ForgettingUnavailableError` if it takes too long, too."""
    try:
        return await calls.run(call, *arguments)
    except DatabaseTimeoutError as error:
        raise ForgettingUnavailableError(f"{error}. Retry when it does: a repeat is safe.") from error
