"""The gateway's database, with locks between the writers of all replicas."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, StatementError

from notification_gateway.tables import SCHEMA
from servicekit.background import report_failure
from servicekit.database import migrate, open_database

MIGRATIONS = Path(__file__).parent / "migrations"
# The lock for changes of incidents: signals of one incident must be processed in order.
INCIDENTS = "incidents"


class UnstorableError(ValueError):
    """The data can't be stored, and the database is healthy: reject the request, or this part of the batch."""


class Storage:
    """Connections to the migrated database; replicas of the gateway share it."""

    def __init__(self, url: str) -> None:
        target = make_url(url)
        if target.get_backend_name() == "sqlite" and target.database:
            Path(target.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine: Engine = open_database(url, SCHEMA)

    def migrate(self) -> None:
        """Bring the schema to the newest revision."""
        migrate(self.engine, SCHEMA, MIGRATIONS)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection for reading."""
        with _translate_data_errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that commits at the end of the block."""
        with _translate_data_errors(), self.engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                # Otherwise a transaction that reads first can't be upgraded to write while another one writes.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def exclusive(self, name: str) -> Iterator[Connection]:
        """Yield a connection in a transaction, under a lock of that name across all processes and threads."""
        with self.transaction() as connection:
            if connection.dialect.name != "sqlite":
                lock = text("SELECT pg_advisory_xact_lock(hashtext(:name))")
                connection.execute(lock, {"name": f"recsys.{SCHEMA}.{name}"})
            yield connection


@contextmanager
def isolated(connection: Connection, loop: str) -> Iterator[None]:
    """Roll back and report a block that fails, then continue: one bad row must not stop a chore.

    An `OperationalError` of the database is raised.
    """
    try:
        with connection.begin_nested():
            yield
    except OperationalError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one row
        report_failure(loop, error)


@contextmanager
def _translate_data_errors() -> Iterator[None]:
    """Raise `UnstorableError` for values that no column accepts: drivers mix them up with failures of the database."""
    try:
        yield
    except (DataError, UnicodeError, OverflowError) as error:
        raise UnstorableError(_describe(error)) from error
    except StatementError as error:
        # A StatementError that isn't a DBAPIError: the value failed before it reached the driver.
        if isinstance(error, DBAPIError):
            raise
        raise UnstorableError(_describe(error)) from error


def _describe(error: Exception) -> str:
    original = error.orig if isinstance(error, StatementError) else error
    return f"holds a value that the database can't store ({type(original).__name__})"


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT of the connection's dialect, with ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
