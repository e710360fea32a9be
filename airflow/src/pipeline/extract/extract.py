"""Reads the business database and the behaviour event log into three Parquet files."""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, timedelta, tzinfo
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from business import BusinessDatabase, Statement, open_business_database, statements
from pipeline.errors import InputError, NoTablesError
from pipeline.extract.as_of import AsOf, Rows
from pipeline.extract.columns import INTERACTIONS, SCHEMAS
from pipeline.extract.conversion import Converter
from pipeline.extract.events import events_source
from pipeline.extract.faults import note_read, reading
from pipeline.extract.incremental import DayReader, DaySource, ExtractedStore
from pipeline.extract.repeated_purchases import StoredPurchases, purchases_of
from pipeline.extract.row_writer import RowWriter

# Values outside the calendar as the database wrote them, one early and one late example for each column. Parquet
# contains the calendar's ends instead.
OUTSIDE_CALENDAR = "outside_calendar.json"
# The count of purchases that are in the event log as well as in the business database.
REPEATED_PURCHASES = "repeated_purchases"
# The count of interactions that are all read each time, because the database can't group them by day.
READ_WHOLE = "interactions_read_whole"
# Interactions of a day may come until this long after it; later ones are found by a comparison.
SETTLES_AFTER = timedelta(days=7)
_ROWS_PER_MATCH = 1_000_000
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
    store: ExtractedStore | None = None,
) -> dict[str, int]:
    """Write `users`, `datasets` and `interactions` as Parquet below `folder` and return their numbers of rows.

    Times without an offset are in `zone`. With `as_of`, rows that came later are left out. With `store`, only new and
    changed days of the interactions and events are read from the databases; the rows and their order are the same.
    Raises `InputError` if the SQL or a column has to be corrected, and `DatabaseError`.
    """
    converter = Converter()
    counts = {}
    with reading("business"):
        found = statements(sql, {name: schema.names for name, schema in SCHEMAS.items()})
        _require_tables(business, [name for name, statement in found.items() if not statement.is_file])
        for name in ("users", "datasets"):
            batches = converter.batches(business, name, found[name], _zone_of(business, found[name], zone))
            counts[name] = _write(folder / f"{name}.parquet", name, _kept(as_of, name, batches))
    with closing(RowWriter(folder / "interactions.parquet", INTERACTIONS)) as writer:
        with reading("business"):
            statement = found["interactions"]
            its_zone = _zone_of(business, statement, zone)
            source = DaySource("interactions", business, statement, its_zone, "ts", SETTLES_AFTER)
            reader = DayReader(source, converter, store)
            purchases = _append_interactions(_kept(as_of, "interactions", reader.read()), writer)
            counts["interactions"] = writer.rows
            if not reader.has_days:
                counts[READ_WHOLE] = writer.rows
        note_read("business")
        if events is not None:
            with reading("events"):
                counts["events"] = 0
                if (log := events_source(events)) is not None:
                    posted = _kept(as_of, "interactions", DayReader(log, converter, store).read())
                    counts |= _append_events(posted, writer, StoredPurchases(pa.concat_tables(purchases)))
            note_read("events")
    (folder / OUTSIDE_CALENDAR).write_text(json.dumps(converter.outside_calendar, sort_keys=True), encoding="utf-8")
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


def _zone_of(business: BusinessDatabase, statement: Statement, zone: tzinfo) -> tzinfo:
    # Our own load writes UTC to SQLite, which has no zones.
    return UTC if business.dialect == "sqlite" and not statement.is_file else zone


def _kept(as_of: AsOf | None, name: str, parts: Iterator[Rows]) -> Iterator[Rows]:
    for rows in parts:
        yield rows if as_of is None else as_of.keep(name, rows)


def _append_interactions(parts: Iterable[pa.Table], writer: RowWriter) -> list[pa.Table]:
    """Append all, and return the purchases of each part."""
    purchases = []
    for rows in parts:
        writer.write(rows)
        purchases.append(purchases_of(rows))
    return purchases


def _append_events(events: Iterable[pa.Table], writer: RowWriter, known: StoredPurchases) -> dict[str, int]:
    """Append the events without repeated purchases; return both numbers."""
    counts = {"events": 0, REPEATED_PURCHASES: 0}
    for posted in _in_large_parts(events):
        repeated = known.repeated(posted)
        kept = posted.filter(pa.array(~repeated))
        writer.write(kept)
        counts["events"] += len(kept)
        counts[REPEATED_PURCHASES] += int(repeated.sum())
    return counts


def _in_large_parts(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same rows in few tables, because each search among the purchases sorts them all."""
    waiting: list[pa.Table] = []
    count = 0
    for rows in parts:
        waiting.append(rows)
        count += len(rows)
        if count >= _ROWS_PER_MATCH:
            yield pa.concat_tables(waiting)
            waiting, count = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _write(path: Path, name: str, batches: Iterator[pa.RecordBatch]) -> int:
    rows = 0
    with pq.ParquetWriter(path, SCHEMAS[name]) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += len(batch)
    return rows
