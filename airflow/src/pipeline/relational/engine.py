"""What every engine does."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import pyarrow as pa

# A Parquet file, or rows in memory.
Table: TypeAlias = Path | pa.Table


class Engine(Protocol):
    """Answers a query by the same rows, whichever engine it is; their order is that of the query's ORDER BY.

    A query is in the SQL that DuckDB and Spark share. Besides, `unix_seconds(timestamp)` may be called.
    """

    def query(self, sql: str, tables: Mapping[str, Table]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query over tables, by their names; raises `EngineError`."""
