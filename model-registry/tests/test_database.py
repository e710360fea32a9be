"""One change of a model at a time, on both kinds of database."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import model_registry
from model_registry.database import Database, lock_model
from model_registry.tables import SCHEMA
from servicekit.database import migrate, open_database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    engine = open_database(database_url, SCHEMA)
    migrate(engine, SCHEMA, Path(str(model_registry.__file__)).parent / "migrations")
    made = Database(engine)
    yield made
    made.close()


@pytest.mark.parametrize("known", [False, True], ids=["new model", "known model"])
def test_a_second_change_of_a_model_waits_for_the_first(database: Database, known: bool) -> None:
    if known:
        with database.transaction("first") as connection:
            lock_model(connection, "ranker")
    order = []

    def change() -> None:
        with database.transaction("second") as connection:
            lock_model(connection, "ranker")
            order.append("second")

    second = threading.Thread(target=change)
    with database.transaction("first") as connection:
        lock_model(connection, "ranker")
        second.start()
        # It ends within this time if nothing holds it.
        second.join(0.5)
        order.append("first")
    second.join()
    assert order == ["first", "second"]
