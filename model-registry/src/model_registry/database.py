"""Transactions on the registry's database; faults are reported here."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, Table, delete, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

import monitoring
from model_registry.errors import UnavailableError
from model_registry.tables import SCHEMA, models, tokens


class Database:
    """The registry's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recoveries = monitoring.Recoveries("pipeline.database")

    @contextmanager
    def transaction(self, operation: str) -> Iterator[Connection]:
        """Begin a transaction; if the database fails, report it and raise `UnavailableError`."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (DBAPIError, PoolTimeoutError) as error:
            self._recoveries.note_failure(database=SCHEMA, operation=operation)
            cause = getattr(error, "orig", None) or error
            monitoring.report("pipeline.database", error=cause, database=SCHEMA, operation=operation)
            raise UnavailableError("the registry's database can't be reached; try again") from error
        self._recoveries.note_success(database=SCHEMA, operation=operation)

    def answers(self) -> bool:
        """Return whether the database accepts queries."""
        try:
            with self._engine.connect() as connection:
                connection.execute(select(1))
        except (DBAPIError, PoolTimeoutError):
            return False
        return True

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def insert_if_absent(connection: Connection, table: Table, **values: object) -> None:
    """Insert a row unless one with its key is there; a concurrent transaction that inserts it is waited for.

    Without a savepoint: SQLite's driver would end the transaction with it.
    """
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(table).values(**values).on_conflict_do_nothing())


def lock_model(connection: Connection, name: str) -> None:
    """Create the model's row if missing and lock it until the transaction ends: one change of a model at a time.

    It is the transaction's first statement. SQLite has no locks of rows, and begins a transaction only when it writes.
    """
    insert_if_absent(connection, models, name=name)
    connection.execute(select(models.c.name).where(models.c.name == name).with_for_update())


def lock_tokens(connection: Connection) -> None:
    """Lock the named tokens until the transaction ends; its first statement, as of `lock_model`."""
    if connection.dialect.name == "sqlite":
        # Begins the transaction as a writer, and changes nothing.
        connection.execute(delete(tokens).where(tokens.c.id.is_(None)))
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('recsys.registry.tokens'))"))
