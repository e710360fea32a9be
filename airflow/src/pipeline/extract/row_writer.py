"""Writes a Parquet file whose row groups don't depend on how the rows arrive."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_GROUP = 100_000


class RowWriter:
    """Collects rows to row groups of one size; the last one is smaller. Close it."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self.rows = 0

    def write(self, rows: pa.Table) -> None:
        """Append rows."""
        self.rows += len(rows)
        self._waiting.append(rows)
        self._waiting_rows += len(rows)
        if self._waiting_rows >= ROWS_PER_GROUP:
            self._flush(ROWS_PER_GROUP)

    def close(self) -> None:
        """Write the remaining rows, and end the file."""
        try:
            if self._waiting_rows:
                self._flush(1)
        finally:
            self._writer.close()

    def _flush(self, least: int) -> None:
        """Write row groups until fewer than `least` rows are waiting."""
        table = pa.concat_tables(self._waiting)
        while len(table) >= least:
            self._writer.write_table(table.slice(0, ROWS_PER_GROUP), row_group_size=ROWS_PER_GROUP)
            table = table.slice(ROWS_PER_GROUP)
        self._waiting, self._waiting_rows = [table], len(table)
