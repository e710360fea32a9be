"""Opens databases, and names their errors without passwords."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pipeline.errors import InputError, PipelineError

_ONLY_READ = frozenset({"mysql", "mariadb", "duckdb"})


class DatabaseError(PipelineError):
    """A database rejected an operation or the connection broke; check its log, then start again."""

    def __init__(self, operation: str, database: str, error: Exception) -> None:
        """Take the operation, the database, and SQLAlchemy's error."""
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        super().__init__(f"{database} database: {operation}: {reason[0] if reason else type(error).__name__}")
        self.operation = operation
        self.database = database


def open_engine(url: str, setting: str) -> Engine:
    """Return an engine with explicit timeouts; raises `InputError`, which names the setting."""
    try:
        target = make_url(url)
        if target.get_backend_name() in _ONLY_READ:
            raise InputError(
                f"{setting}: a database of {target.get_backend_name()} is only read; "
                "demo and import write to postgresql+psycopg2://… or sqlite:///…"
            )
        if target.get_backend_name() == "sqlite":
            if target.database:
                Path(target.database).parent.mkdir(parents=True, exist_ok=True)
            return create_engine(target, connect_args={"timeout": 30})
        # A load or an extraction of millions of rows is slow but not stuck, so only the wait for locks is limited.
        return create_engine(target, connect_args={"connect_timeout": 5, "options": "-c lock_timeout=30000"})
    except (ArgumentError, ImportError, ValueError):
        # The message about a wrong port would contain a part of the password.
        raise InputError(
            f"{setting}: not a usable SQLAlchemy URL; expected postgresql+psycopg2://… or sqlite:///…"
        ) from None


@contextmanager
def faults_of(operation: str, database: str) -> Iterator[None]:
    """Convert errors of SQLAlchemy or of a raw COPY to `DatabaseError`, and report them once."""
    from pipeline.sentry_utils import track_database_issue, track_database_ok

    try:
        yield
    except (SQLAlchemyError, psycopg2.Error) as error:
        track_database_issue(operation, database, error)
        raise DatabaseError(operation, database, error) from error
    track_database_ok(operation, database)
