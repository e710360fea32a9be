"""Transactions on the registry's database; faults are reported here."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

import monitoring
from model_registry.errors import UnavailableError
from model_registry.tables import SCHEMA, models


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
        except DBAPIError as error:
            self._recoveries.note_failure(database=SCHEMA, operation=operation)
            monitoring.report("pipeline.database", error=error.orig or error, database=SCHEMA, operation=operation)
            raise UnavailableError("the registry's database can't be reached; try again") from error
        self._recoveries.note_success(database=SCHEMA, operation=operation)

    def answers(self) -> bool:
        """Return whether the database accepts queries."""
        try:
            with self._engine.connect() as connection:
                connection.execute(select(1))
        except DBAPIError:
            return False
        return True

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def lock_model(connection: Connection, name: str) -> None:
    """Create the model's row if missing and lock it until the transaction ends: one change of a model at a time."""
    held = select(models.c.name).where(models.c.name == name).with_for_update()
    if connection.execute(held).first() is None:
        with connection.begin_nested() as savepoint:
            try:
                connection.execute(insert(models).values(name=name))
            except IntegrityError:
                savepoint.rollback()
        connection.execute(held)
