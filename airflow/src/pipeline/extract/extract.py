"""Reading the business database and the behaviour event log into three Parquet files."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, Engine, Executable, inspect, text

from pipeline.business.database import faults_of
from pipeline.errors import InputError
from pipeline.extract.columns import INTERACTIONS, REQUIRED, SCHEMAS, to_arrow
from pipeline.extract.queries import queries

_ROWS_PER_BATCH = 50_000
_EVENTS = "behavior_events"
_log = logging.getLogger(__name__)


def extract(business: Engine, events: Engine | None, sql: Path | None, folder: Path) -> dict[str, int]:
    """Write `users`, `datasets` and `interactions` as Parquet below `folder` and return how many rows each has.

    Exposures of the event log are left out: being shown is no interest. Raises `InputError` where a mapping lacks a
    column, and `DatabaseError`.
    """
    counts = {}
    statements = queries(sql)
    with faults_of("extract", "business"), business.connect() as connection:
        if sql is None:
            _require_tables(connection)
        for name in ("users", "datasets"):
            counts[name] = _write(folder / f"{name}.parquet", name, _batches(connection, name, statements[name]))
        batches = _batches(connection, "interactions", statements["interactions"])
        counts["interactions"] = _write(folder / "interactions.parquet", "interactions", batches)
    if events is not None:
        counts["events"] = _append_events(events, folder / "interactions.parquet")
    _log.info("extracted %s", ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return counts


def _require_tables(connection: Connection) -> None:
    there = inspect(connection).get_table_names()
    for name in SCHEMAS:
        if name not in there:
            raise InputError(
                f"the business database has no table {name}: fill it by `python -m pipeline demo` or `import`, "
                "or map tables of your own by EXTRACTION_SQL"
            )


def _append_events(events: Engine, path: Path) -> int:
    with faults_of("extract", "events"), events.connect() as connection:
        schema = "events" if connection.dialect.name != "sqlite" else None
        if not inspect(connection).has_table(_EVENTS, schema=schema):
            return 0
        statement = text(
            f"SELECT user_id, dataset_id, type, NULL AS price, ts FROM {schema + '.' if schema else ''}{_EVENTS} "  # noqa: S608 - our own names
            "WHERE type <> 'exposure'"
        )
        batches = list(_batches(connection, "interactions", statement))
    before = pq.read_table(path, schema=INTERACTIONS)
    joined = pa.concat_tables([before, *(pa.Table.from_batches([batch]) for batch in batches)])
    pq.write_table(joined, path)
    return len(joined) - len(before)


def _batches(connection: Connection, name: str, statement: Executable) -> Iterator[pa.RecordBatch]:
    result = connection.execution_options(stream_results=True).execute(statement)
    columns = list(result.keys())
    if missing := [column for column in REQUIRED[name] if column not in columns]:
        raise InputError(f"{name}.sql: the result lacks {', '.join(missing)}; it has {', '.join(columns)}")
    for rows in result.partitions(_ROWS_PER_BATCH):
        yield _batch(name, columns, rows)


def _batch(name: str, columns: list[str], rows: Sequence[Sequence[object]]) -> pa.RecordBatch:
    schema = SCHEMAS[name]
    values = dict(zip(columns, zip(*rows, strict=True), strict=True))
    arrays = []
    for field in schema:
        try:
            arrays.append(to_arrow(values.get(field.name, (None,) * len(rows)), field.type))
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise InputError(f"{name}.{field.name}: a value is not of type {field.type}: {error}") from error
    return pa.record_batch(arrays, schema=schema)


def _write(path: Path, name: str, batches: Iterator[pa.RecordBatch]) -> int:
    rows = 0
    with pq.ParquetWriter(path, SCHEMAS[name]) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += len(batch)
    return rows
