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


def _postgresql(request: pytest.FixtureRequest, _: Path) -> SourceDatabase:
    url: str = request.getfixturevalue("postgres_url")

    def run(sql: str) -> Rows:
        connection = psycopg2.connect(url.replace("+psycopg2", ""))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    return SourceDatabase("postgresql", url, run)


def _mariadb(request: pytest.FixtureRequest, _: Path) -> SourceDatabase:
    server: MariadbServer = request.getfixturevalue("mariadb_server")
    url: str = request.getfixturevalue("mariadb_url")
    return SourceDatabase("mariadb", url, lambda sql: server.run(sql, database=url.rpartition("/")[2]))


def _sqlite(_: pytest.FixtureRequest, folder: Path) -> SourceDatabase:
    path = folder / "a shop?.db"
    path.touch()

    def run(sql: str) -> Rows:
        connection = sqlite3.connect(path)
        try:
            with connection:
                return connection.execute(sql).fetchall()
        finally:
            connection.close()

    return SourceDatabase("sqlite", f"sqlite:///{str(path).replace('?', '%3F')}", run)


def _duckdb(_: pytest.FixtureRequest, folder: Path) -> SourceDatabase:
    path = folder / "shop.duckdb"
    duckdb.connect(str(path)).close()

    def run(sql: str) -> Rows:
        with duckdb.connect(str(path)) as connection:
            return connection.execute(sql).fetchall()

    return SourceDatabase("duckdb", f"duckdb:///{path}", run)


_MAKERS = {"postgresql": _postgresql, "mariadb": _mariadb, "sqlite": _sqlite, "duckdb": _duckdb}
SOURCE_KINDS = tuple(_MAKERS)
