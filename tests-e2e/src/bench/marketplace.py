"""Generates a marketplace where `BUSINESS_DATABASE_URL` says, and begins a run of the pipeline on it.

Run as `python -m bench.marketplace RUN MOMENT DATASETS USERS INTERACTIONS DAYS`, so that its memory is free afterwards.
A DuckDB file gets views of Parquet files beside it: rows need no insertion, and no space in the database.
"""

import sys
from datetime import datetime
from pathlib import Path

import duckdb
from sqlalchemy.engine import make_url

from pipeline.business.content import Content
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.demo import DemoSize, generate
from pipeline.demo.extracted import extracted_tables, write_extracted
from pipeline.settings import Settings
from pipeline.steps import RunInfo, begin_run

_SEED = 42


def main(arguments: list[str]) -> None:
    """Generate, write, and begin the run."""
    run_id, moment = arguments[0], datetime.fromisoformat(arguments[1])
    settings = Settings()
    url = settings.business_database_url.get_secret_value()
    content = generate(DemoSize(*map(int, arguments[2:])), _SEED, moment)
    if url.startswith("duckdb:"):
        write_parquet(content, Path(str(make_url(url).database)))
    else:
        replace_content(open_engine(url, "BUSINESS_DATABASE_URL"), content)
    begin_run(settings, RunInfo(run_id=run_id, as_of=moment, started_at=moment, publish=False))


def write_parquet(content: Content, database: Path) -> None:
    """Write a DuckDB file whose tables are Parquet files beside it."""
    tables = extracted_tables(content)
    write_extracted(tables, database.parent)
    with duckdb.connect(str(database)) as connection:
        for name in tables:
            path = str(database.with_name(f"{name}.parquet")).replace("'", "''")
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')")


if __name__ == "__main__":
    main(sys.argv[1:])
