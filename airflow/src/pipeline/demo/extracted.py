"""Writes a marketplace as the extraction would, for tests and proofs without a database."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.business.content import Content
from pipeline.extract.columns import SCHEMAS

Extracted = dict[str, pa.Table]


def extracted_tables(content: Content) -> Extracted:
    """Return the tables of the extraction; ids are the row numbers from 1 on."""
    rows = content.interactions
    return {
        "users": content.users.add_column(0, "id", pa.array(np.arange(1, len(content.users) + 1))),
        "datasets": content.datasets.add_column(0, "id", pa.array(np.arange(1, len(content.datasets) + 1))),
        "interactions": pa.table(
            [pc.add(rows["user"], 1), pc.add(rows["dataset"], 1), rows["type"], rows["price"], rows["ts"]],
            schema=SCHEMAS["interactions"],
        ),
    }


def until(tables: Extracted, moment: datetime) -> Extracted:
    """Return what the tables had at a moment."""
    columns = {"users": "created_at", "datasets": "created_at", "interactions": "ts"}
    return {name: table.filter(pc.less_equal(table[columns[name]], moment)) for name, table in tables.items()}


def write_extracted(tables: Extracted, folder: Path) -> None:
    """Write the tables as Parquet below `folder`."""
    for name, table in tables.items():
        pq.write_table(table.cast(SCHEMAS[name]), folder / f"{name}.parquet")
