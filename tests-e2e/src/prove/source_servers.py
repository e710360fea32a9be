"""A marketplace with UUIDs in the databases that a customer may have: MariaDB, and views of PostgreSQL.

Each context manager loads it into a server of its own, and returns the settings with which the pipeline reads it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

import psycopg2
import pymysql
from psycopg2.extras import execute_values

from testkit import mariadb
from testkit.postgres import running_cluster

Settings = Mapping[str, str]
_DATABASE = "shop"
_MARIADB_TABLES = (
    f"CREATE DATABASE {_DATABASE} CHARACTER SET utf8mb4",
    f"CREATE TABLE {_DATABASE}.products (code BINARY(16) PRIMARY KEY, name VARCHAR(200), labels TEXT)",
    f"CREATE TABLE {_DATABASE}.actions (buyer CHAR(36), code BINARY(16), kind VARCHAR(20), done_at DATETIME(6))",
)
# The byte order of MySQL's BIN_TO_UUID.
_UUID = "LOWER(INSERT(INSERT(INSERT(INSERT(HEX(code), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-'))"
_MARIADB_SQL = {
    "users.sql": "SELECT DISTINCT buyer AS id FROM actions;",
    "datasets.sql": f"SELECT {_UUID} AS id, name AS title, labels AS tags FROM products; -- 产品",
    "interactions.sql": f"SELECT buyer AS user_id, {_UUID} AS dataset_id, kind AS type, done_at AS ts FROM actions",
}
_POSTGRESQL = """
CREATE SCHEMA shop;
CREATE TABLE shop.products (code uuid PRIMARY KEY, name text, labels text[]);
CREATE TABLE shop.actions (buyer uuid, code uuid, kind text, done_at timestamptz);
CREATE VIEW users AS SELECT DISTINCT buyer AS id, NULL::text AS external_id, NULL::text AS company_name,
  NULL::text AS province, NULL::text AS city, NULL::timestamptz AS created_at FROM shop.actions;
CREATE VIEW datasets AS SELECT code AS id, NULL::text AS external_id, name AS title, NULL::text AS description,
  array_to_string(labels, ';') AS tags, NULL::numeric AS price, NULL::text AS provider, NULL::text AS cover_image,
  NULL::timestamptz AS created_at, NULL::timestamptz AS updated_at, false AS is_deleted FROM shop.products;
CREATE VIEW interactions AS SELECT buyer AS user_id, code AS dataset_id, kind AS type, NULL::numeric AS price,
  done_at AS ts FROM shop.actions;
CREATE ROLE reader LOGIN PASSWORD 'only-reads';
GRANT SELECT ON users, datasets, interactions TO reader;
"""


class Marketplace(Protocol):
    """The topic of each dataset by its UUID, and the interactions."""

    @property
    def datasets(self) -> Mapping[str, str]:
        """The topic of each dataset."""

    @property
    def interactions(self) -> Sequence[tuple[str, str, str, datetime]]:
        """User, dataset, type, moment."""


@contextmanager
def in_mariadb(marketplace: Marketplace, folder: Path) -> Iterator[Settings]:
    """Store it in MariaDB: UUIDs as BINARY(16), times in UTC without a zone, mapped by SQL files below `folder`."""
    sql = folder / "sql"
    sql.mkdir()
    for name, statement in _MARIADB_SQL.items():
        (sql / name).write_text(statement, encoding="utf-8-sig")
    with mariadb.running_mariadb() as server:
        server.run(*_MARIADB_TABLES)
        connection = pymysql.connect(
            host="127.0.0.1",
            port=server.port,
            user=mariadb.USER,
            password=mariadb.PASSWORD,
            database=_DATABASE,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            uuid = "UNHEX(REPLACE(%s, '-', ''))"
            cursor.executemany(f"INSERT INTO products VALUES ({uuid}, %s, %s)", _products(marketplace))
            cursor.executemany(
                f"INSERT INTO actions VALUES (%s, {uuid}, %s, %s)",
                [(*rest, ts.replace(tzinfo=None)) for *rest, ts in marketplace.interactions],
            )
        yield {"BUSINESS_DATABASE_URL": server.url(_DATABASE), "EXTRACTION_SQL": str(sql)}


@contextmanager
def in_postgresql_views(marketplace: Marketplace, folder: Path) -> Iterator[Settings]:
    """Store it in PostgreSQL, in views with the canonical names, for a user who may only read those views."""
    del folder
    with running_cluster() as cluster:
        cluster.ensure_database(_DATABASE)
        connection = psycopg2.connect(cluster.url(_DATABASE).replace("+psycopg2", ""))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(_POSTGRESQL)
                products = [(code, name, [label]) for code, name, label in _products(marketplace)]
                execute_values(cursor, "INSERT INTO shop.products VALUES %s", products, "(%s::uuid, %s, %s)")
                actions = list(marketplace.interactions)
                execute_values(cursor, "INSERT INTO shop.actions VALUES %s", actions, "(%s::uuid, %s::uuid, %s, %s)")
        finally:
            connection.close()
        yield {"BUSINESS_DATABASE_URL": f"postgresql://reader:only-reads@127.0.0.1:{cluster.port}/{_DATABASE}"}


def _products(marketplace: Marketplace) -> list[tuple[str, str, str]]:
    return [(code, f"{topic} {number}", topic) for number, (code, topic) in enumerate(marketplace.datasets.items())]
