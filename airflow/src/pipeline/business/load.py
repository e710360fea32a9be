"""Replaces the whole content of the business database in one transaction: a reader sees the old or the new content."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from sqlalchemy import Connection, Engine, Table, select, text

from business import tables
from pipeline.business.content import Content
from pipeline.business.database import faults_of
from pipeline.business.ids import assign_ids, refuse_old_ids

_ROWS_PER_BATCH = 20_000


def create_tables(engine: Engine) -> None:
    """Create the canonical tables that are missing."""
    with faults_of("create tables", "business"):
        tables.metadata.create_all(engine)


def is_empty(engine: Engine) -> bool:
    """Return whether there are no datasets yet."""
    create_tables(engine)
    with faults_of("count datasets", "business"), engine.connect() as connection:
        return connection.execute(select(tables.datasets.c.id).limit(1)).first() is None


def replace_content(engine: Engine, content: Content) -> None:
    """Replace everything by `content`; raises `DatabaseError` or `InputError`, and then nothing has changed.

    A row's id is the number for which its external id stands, independently of other rows. So a behaviour event about a
    deleted dataset is never attributed to another one.
    """
    user_ids = assign_ids("user", content.users["external_id"].to_pylist())
    dataset_ids = assign_ids("dataset", content.datasets["external_id"].to_pylist())
    create_tables(engine)
    with faults_of("load", "business"), engine.begin() as connection:
        refuse_old_ids(connection)
        for table in (tables.interactions, tables.datasets, tables.users):
            connection.execute(
                table.delete() if connection.dialect.name == "sqlite" else text(f"TRUNCATE {table.name}")
            )
        _insert(connection, tables.users, content.users.add_column(0, "id", pa.array(user_ids)))
        _insert(connection, tables.datasets, content.datasets.add_column(0, "id", pa.array(dataset_ids)))
        rows = content.interactions
        _insert(
            connection,
            tables.interactions,
            pa.table(
                {
                    "id": np.arange(1, len(rows) + 1),
                    "user_id": user_ids[rows["user"].to_numpy()],
                    "dataset_id": dataset_ids[rows["dataset"].to_numpy()],
                    "type": rows["type"],
                    "price": rows["price"],
                    "ts": rows["ts"],
                }
            ),
        )


def _insert(connection: Connection, table: Table, rows: pa.Table) -> None:
    if connection.dialect.name == "postgresql":
        _copy(connection, table.name, rows)
    else:
        _insert_batches(connection, table, rows)


def _copy(connection: Connection, name: str, rows: pa.Table) -> None:
    stream = io.BytesIO()
    pyarrow.csv.write_csv(rows, stream)
    stream.seek(0)
    columns = ", ".join(rows.column_names)
    cursor: Any = connection.connection.cursor()
    cursor.copy_expert(f"COPY {name} ({columns}) FROM STDIN (FORMAT csv, HEADER)", stream)
    cursor.close()


def _insert_batches(connection: Connection, table: Table, rows: pa.Table) -> None:
    names: Sequence[str] = rows.column_names
    for start in range(0, len(rows), _ROWS_PER_BATCH):
        part = rows.slice(start, _ROWS_PER_BATCH)
        columns = [_plain(part[name]) for name in names]
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",  # noqa: S608 - our own names
            list(zip(*columns, strict=True)),
        )


def _plain(column: pa.ChunkedArray) -> list[object]:
    """Return Python values as SQLAlchemy's SQLite types store them: times as text without a zone, in UTC."""
    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column.cast(pa.timestamp("us")), format="%Y-%m-%d %H:%M:%S")
    values: list[object] = column.to_pylist()
    return values
