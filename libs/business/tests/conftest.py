"""A small shop in each kind of database."""

import pytest

from testkit.source_databases import SourceDatabase

_MOMENT = {"sqlite": "TEXT", "mariadb": "DATETIME", "duckdb": "TIMESTAMP", "postgresql": "TIMESTAMP"}


@pytest.fixture
def shop(source_database: SourceDatabase) -> SourceDatabase:
    """A shop with two goods, once in each kind of database."""
    moment = _MOMENT[source_database.kind]
    source_database.run(
        f"CREATE TABLE goods (id INTEGER PRIMARY KEY, label VARCHAR(50), price DECIMAL(10,2), sold_at {moment})"
    )
    source_database.run(
        "INSERT INTO goods VALUES (1, 'Bus traces', 9.50, '2026-01-01 08:00:00'), (2, '数据: 50%', NULL, NULL)"
    )
    return source_database
