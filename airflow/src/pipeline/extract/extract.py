"""Reads the business database and the behaviour event log into three Parquet files."""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from business import BusinessDatabase, Statement, open_business_database, statements
from business.database import Rows
from pipeline.errors import InputError, NoTablesError
from pipeline.extract.as_of import AsOf
from pipeline.extract.columns import ID_KINDS, INTERACTIONS, REQUIRED, SCHEMAS
from pipeline.extract.events import events_statement
from pipeline.extract.faults import note_read, reading
from pipeline.extract.ids import IdReader, external_ids
from pipeline.extract.moments import moment_column
from pipeline.extract.repeated_purchases import repeated_purchases
from pipeline.extract.values import UnusableValueError, Values, flag_column, price_column, text_column
from pipeline.progress import Progress

# Values outside the calendar as the database wrote them, one early and one late example for each column. Parquet
# contains the calendar's ends instead.
OUTSIDE_CALENDAR = "outside_calendar.json"
# The count of purchases that are in the event log as well as in the business database.
REPEATED_PURCHASES = "repeated_purchases"
_log = logging.getLogger(__name__)


def open_business(url: SecretStr) -> BusinessDatabase:
    """Connect to the business database; raises `InputError` and `DatabaseError`."""
    with reading("business"):
        return open_business_database(url.get_secret_value(), "BUSINESS_DATABASE_URL")


def extract(
    business: BusinessDatabase,
    events: BusinessDatabase | None,
    sql: Path | None,
    folder: Path,
    zone: tzinfo = UTC,
    *,
    as_of: AsOf | None = None,
) -> dict[str, int]:
    """Write `users`, `datasets` and `interactions` as Parquet below `folder` and return their numbers of rows.

    Times without an offset are in `zone`. With `as_of`, rows that came later are left out. Raises `InputError` if the
    SQL or a column has to be corrected, and `DatabaseError`.
    """
    converter = _Converter(as_of)
    counts = {}
    with reading("business"):
        found = statements(sql, {name: schema.names for name, schema in SCHEMAS.items()})
        _require_tables(business, [name for name, statement in found.items() if not statement.is_file])
        for name, statement in found.items():
            # Our own load writes UTC to SQLite, which has no zones.
            is_ours = business.dialect == "sqlite" and not statement.is_file
            batches = converter.batches(business, name, statement, UTC if is_ours else zone)
            counts[name] = _write(folder / f"{name}.parquet", name, batches)
    note_read("business")
    if events is not None:
        with reading("events"):
            counts |= _append_events(events, folder / "interactions.parquet", converter)
        note_read("events")
    (folder / OUTSIDE_CALENDAR).write_text(json.dumps(converter.outside_calendar), encoding="utf-8")
    _log.info("extracted %s", ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))
    return counts


def _require_tables(business: BusinessDatabase, names: list[str]) -> None:
    there = business.relations() if names else frozenset()
    for name in names:
        if name not in there:
            is_untouched = len(names) == len(SCHEMAS) and there.isdisjoint(names)
            raise (NoTablesError if is_untouched else InputError)(
                f"the business database has no table or view {name}: fill it by `python -m pipeline demo` or `import`, "
                "or map tables of your own by EXTRACTION_SQL"
            )


def _append_events(events: BusinessDatabase, path: Path, converter: "_Converter") -> dict[str, int]:
    """Append the events without repeated purchases; return both numbers."""
    statement = events_statement(events)
    if statement is None:
        return {"events": 0}
    posted = pa.Table.from_batches(converter.batches(events, "interactions", statement, UTC), INTERACTIONS)
    known = pq.read_table(path, schema=INTERACTIONS)
    repeated = repeated_purchases(posted, known)
    kept = posted.filter(pa.array(~repeated))
    pq.write_table(pa.concat_tables([known, kept]), path)
    return {"events": len(kept), REPEATED_PURCHASES: int(repeated.sum())}


class _Converter:
    """Converts rows to Arrow; ids are compared across all tables of one extraction."""

    def __init__(self, as_of: AsOf | None) -> None:
        self._as_of = as_of
        self._ids = {"user": IdReader("user"), "dataset": IdReader("dataset")}
        self.outside_calendar: dict[str, str] = {}

    def batches(
        self, database: BusinessDatabase, name: str, statement: Statement, zone: tzinfo
    ) -> Iterator[pa.RecordBatch]:
        result = database.rows(statement)
        if missing := [column for column in REQUIRED[name] if column not in result.columns]:
            raise InputError(
                f"{statement.source}: the result lacks {', '.join(missing)}; it has {', '.join(result.columns)}"
            )
        if repeated := sorted(_find_repeated(result.columns) & {*SCHEMAS[name].names}):
            raise InputError(f"{statement.source}: the result has {', '.join(repeated)} more than once; keep one")
        for rows in result:
            batch = self._batch(name, statement, result.columns, rows, zone)
            yield batch if self._as_of is None else self._as_of.keep(name, batch)

    def _batch(self, name: str, statement: Statement, columns: list[str], rows: Rows, zone: tzinfo) -> pa.RecordBatch:
        values: dict[str, Values] = dict(zip(columns, zip(*rows, strict=True), strict=True))
        absent: Values = (None,) * len(rows)
        if "external_id" in SCHEMAS[name].names:
            values["external_id"] = external_ids(values["id"], values.get("external_id", absent))
        arrays = []
        for field in SCHEMAS[name]:
            try:
                arrays.append(self._column(name, field, values.get(field.name, absent), zone))
            except UnusableValueError as error:
                raise InputError(f"{statement.source}: column {field.name}: {error}") from error
        return pa.record_batch(arrays, schema=SCHEMAS[name])

    def _column(self, name: str, field: pa.Field, values: Values, zone: tzinfo) -> pa.Array:
        if (kind := ID_KINDS.get((name, field.name))) is not None:
            return self._ids[kind].column(values)
        if pa.types.is_timestamp(field.type):
            column = f"{name}.{field.name}"
            return moment_column(values, zone, partial(self._notice, column))
        if pa.types.is_floating(field.type):
            return price_column(values)
        return flag_column(values) if pa.types.is_boolean(field.type) else text_column(values)

    def _notice(self, column: str, text: str, is_late: bool) -> None:
        self.outside_calendar.setdefault(f"{column}.{'last' if is_late else 'first'}", text)


def _find_repeated(columns: list[str]) -> set[str]:
    # The names in a subquery of PostgreSQL, and of SQLite (`id`, `id:1`). MySQL rejects repeated names itself.
    counts = Counter(re.sub(r":[0-9]+$", "", column) for column in columns)
    return {name for name, times in counts.items() if times > 1}


def _write(path: Path, name: str, batches: Iterator[pa.RecordBatch]) -> int:
    rows = 0
    progress = Progress(name)
    with pq.ParquetWriter(path, SCHEMAS[name]) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += len(batch)
            progress.advance(len(batch))
    return rows
