"""DuckDB in this process: sorts and groups that don't fit into its memory use the disk."""

import glob
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.errors import EngineError
from pipeline.relational.engine import Table

# A sort of 10 million interactions takes half of it.
_MEMORY_LIMIT = "2GB"
_ROWS_PER_BATCH = 100_000
# Spark has this function. Its division rounds down, also before 1970; that of DuckDB towards zero.
_UNIX_SECONDS = """
CREATE MACRO unix_seconds(moment) AS
epoch_us(moment) // 1000000 - CAST(epoch_us(moment) % 1000000 < 0 AS INTEGER)
"""


class LocalEngine:
    """Each query has a database of its own; what does not fit into memory is in `folder` for as long."""

    def __init__(self, folder: Path, memory_limit: str = _MEMORY_LIMIT) -> None:
        self._folder = folder
        self._memory_limit = memory_limit

    def query(self, sql: str, tables: Mapping[str, Table]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query."""
        with tempfile.TemporaryDirectory(prefix=".engine-", dir=self._folder) as spill:
            config: dict[str, str | bool | int | float | list[str]] = {
                "memory_limit": self._memory_limit,
                "temp_directory": spill,
                # The order is that of ORDER BY alone, which takes less memory.
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
            try:
                with duckdb.connect(":memory:", config=config) as connection:
                    connection.execute(_UNIX_SECONDS)
                    for name, table in tables.items():
                        is_arrow = isinstance(table, pa.Table)
                        source = (
                            connection.from_arrow(table)
                            if is_arrow
                            else connection.read_parquet(glob.escape(str(table)))
                        )
                        source.create_view(name)
                    yield from connection.sql(sql).to_arrow_reader(_ROWS_PER_BATCH)
            # The reader of results has OSError for what goes wrong in the query.
            except (duckdb.Error, OSError) as error:
                raise EngineError(f"DuckDB: {error}") from error
