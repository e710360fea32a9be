"""An empty database of each kind that a user may have, with its owner's access."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg2
import pytest

from testkit.mariadb import MariadbServer

Rows = list[tuple[object, ...]]


@dataclass(frozen=True)
class SourceDatabase:
    """A database of one kind: its URL, and its owner's functions to change and read it."""

    kind: str
    url: str
    run: Callable[[str], Rows]


def make_source_database(kind: str, request: pytest.FixtureRequest, folder: Path) -> SourceDatabase:
    """Return an empty database of a kind of `SOURCE_KINDS`, for the length of a test."""
    return _MAKERS[kind](request, folder)


def postgresql_source(url: str) -> SourceDatabase:
    """Return a database of a PostgreSQL server by its SQLAlchemy URL."""

    def run(sql: str) -> Rows:
        connection = psycopg2.connect(url.replace("+psycopg2", ""))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    return SourceDatabase("postgresql", url, run)


def mariadb_source(server: MariadbServer, url: str) -> SourceDatabase:
    """Return a database of a MariaDB server by its SQLAlchemy URL."""
    return SourceDatabase("mariadb", url, lambda sql: server.run(sql, database=url.rpartition("/")[2]))


def sqlite_source(path: Path) -> SourceDatabase:
    """Return a new SQLite file."""
    path.touch()

    def run(sql: str) -> Rows:
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            with connection:
                return connection.execute(sql).fetchall()
        finally:
            connection.close()

    return SourceDatabase("sqlite", f"sqlite:///{str(path).replace('?', '%3F')}", run)


def _postgresql(request: pytest.FixtureRequest, _: Path) -> SourceDatabase:
    return postgresql_source(request.getfixturevalue("postgres_url"))


def _mariadb(request: pytest.FixtureRequest, _: Path) -> SourceDatabase:
    return mariadb_source(request.getfixturevalue("mariadb_server"), request.getfixturevalue("mariadb_url"))


def _sqlite(_: pytest.FixtureRequest, folder: Path) -> SourceDatabase:
    return sqlite_source(folder / "a shop?.db")


def _duckdb(_: pytest.FixtureRequest, folder: Path) -> SourceDatabase:
    path = folder / "shop.duckdb"
    duckdb.connect(str(path)).close()

    def run(sql: str) -> Rows:
        with duckdb.connect(str(path)) as connection:
            return connection.execute(sql).fetchall()

    return SourceDatabase("duckdb", f"duckdb:///{path}", run)


_MAKERS = {"postgresql": _postgresql, "mariadb": _mariadb, "sqlite": _sqlite, "duckdb": _duckdb}
SOURCE_KINDS = tuple(_MAKERS)
