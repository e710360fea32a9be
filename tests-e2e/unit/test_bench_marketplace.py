"""A marketplace in Parquet files is read as any business database."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import SecretStr

from bench.marketplace import write_parquet
from pipeline.demo import DemoSize, generate
from pipeline.demo.extracted import extracted_tables
from pipeline.extract import extract, open_business
from pipeline.extract.columns import SCHEMAS


def test_the_extraction_reads_parquet_files_through_a_duckdb_file(tmp_path: Path) -> None:
    content = generate(DemoSize(100, 50, 1000), 42, datetime(2026, 3, 1, 12, tzinfo=UTC))
    folder = tmp_path / "its own"
    folder.mkdir()
    write_parquet(content, folder / "business.db")
    url = SecretStr(f"duckdb:///{folder / 'business.db'}")
    with closing(open_business(url)) as business:
        extract(business, None, None, tmp_path)
    for name, table in extracted_tables(content).items():
        # Rows of the same moment come in any order.
        order = [(column, "ascending") for column in table.column_names]
        read = pq.read_table(tmp_path / f"{name}.parquet").cast(SCHEMAS[name]).sort_by(order)
        assert read.equals(table.cast(SCHEMAS[name]).sort_by(order)), name
