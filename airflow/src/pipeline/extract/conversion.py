"""Converts rows of a database to Arrow, in the canonical columns."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from functools import partial

import pyarrow as pa

from business import BusinessDatabase, CsvRows, Form, Statement
from pipeline.errors import InputError
from pipeline.extract.columns import ID_KINDS, REQUIRED, SCHEMAS
from pipeline.extract.csv_cells import CsvCells, split_csv
from pipeline.extract.ids import IdReader, external_ids
from pipeline.extract.moments import moment_column, moments_of_texts
from pipeline.extract.values import UnusableValueError, Values, flag_column, price_column, text_column
from pipeline.progress import Progress

Cells = Values | CsvCells
# A column besides the canonical ones: the day of the row as the database has it, NULL without one.
DAY = "recsys_day"
_DAY_FIELD = pa.field(DAY, pa.dictionary(pa.int32(), pa.string()))


class Converter:
    """Converts rows to Arrow; ids are compared across all tables of one extraction."""

    def __init__(self) -> None:
        self._ids = {"user": IdReader("user"), "dataset": IdReader("dataset")}
        # Of the values outside the calendar, the first text in the alphabet for each column and end of the calendar.
        self.outside_calendar: dict[str, str] = {}

    def batches(
        self,
        database: BusinessDatabase,
        name: str,
        statement: Statement,
        zone: tzinfo,
        *,
        columns: Sequence[str] = (),
        where: str = "",
        what: str | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a statement in the canonical columns of a table, and in `DAY` if it is among `columns`.

        Times without an offset are in `zone`. Lines of progress say `what` is read. Raises `InputError`.
        """
        progress = Progress(what or name)
        csv = database.csv_rows(statement, columns=columns, where=where)
        if csv is not None:
            yield from self._csv_batches(name, statement, csv, zone, progress)
            return
        result = database.rows(statement, columns=columns, where=where)
        check_columns(name, statement, result.columns)
        for rows in result:
            cells = dict(zip(result.columns, zip(*rows, strict=True), strict=True))
            yield self._batch(name, statement, cells, len(rows), zone)
            progress.advance(len(rows))

    def _csv_batches(
        self, name: str, statement: Statement, csv: CsvRows, zone: tzinfo, progress: Progress
    ) -> list[pa.RecordBatch]:
        check_columns(name, statement, [column.name for column in csv.columns])
        batches: list[pa.RecordBatch] = []

        def receive(data: bytes) -> None:
            cells = split_csv(data, csv.columns)
            count = len(next(iter(cells.values())).texts)
            batches.append(self._batch(name, statement, cells, count, zone))
            progress.advance(count)

        csv.send(receive)
        return batches

    def _batch(
        self, name: str, statement: Statement, cells: Mapping[str, Cells], count: int, zone: tzinfo
    ) -> pa.RecordBatch:
        absent: Values = (None,) * count
        schema = SCHEMAS[name]
        found = dict(cells)
        if "external_id" in schema.names:
            found["external_id"] = _external_ids(cells["id"], cells.get("external_id", absent))
        arrays = []
        for field in schema:
            try:
                arrays.append(self._column(name, field, found.get(field.name, absent), zone))
            except UnusableValueError as error:
                raise InputError(f"{statement.source}: column {field.name}: {error}") from error
        if DAY in found:
            schema = schema.append(_DAY_FIELD)
            arrays.append(_texts(found[DAY]).dictionary_encode())
        return pa.record_batch(arrays, schema=schema)

    def _column(self, name: str, field: pa.Field, cells: Cells, zone: tzinfo) -> pa.Array:
        kind = ID_KINDS.get((name, field.name))
        notice = partial(self._notice, f"{name}.{field.name}")
        is_time = pa.types.is_timestamp(field.type)
        if isinstance(cells, CsvCells):
            if is_time and cells.column.form is Form.TEXT:
                return moments_of_texts(cells.texts, zone, notice)
            if (array := cells.as_array(field.type)) is not None:
                return array
        values = _values(cells)
        if kind is not None:
            return self._ids[kind].column(values)
        if is_time:
            return moment_column(values, zone, notice)
        if pa.types.is_floating(field.type):
            return price_column(values)
        return flag_column(values) if pa.types.is_boolean(field.type) else text_column(values)

    def _notice(self, column: str, text: str, is_late: bool) -> None:
        key = f"{column}.{'last' if is_late else 'first'}"
        self.outside_calendar[key] = min(text, self.outside_calendar.get(key, text))


def _values(cells: Cells) -> Values:
    return cells.values() if isinstance(cells, CsvCells) else cells


def _external_ids(ids: Cells, given: Cells) -> Cells:
    if isinstance(ids, CsvCells) and ids.are_numbers:
        return given
    return external_ids(_values(ids), _values(given))


def _texts(cells: Cells) -> pa.StringArray:
    return cells.texts if isinstance(cells, CsvCells) else pa.array(cells, pa.string())


def check_columns(name: str, statement: Statement, columns: Sequence[str]) -> None:
    """Raise `InputError` if a result lacks a required column of a table, or has one twice."""
    if missing := [column for column in REQUIRED[name] if column not in columns]:
        raise InputError(f"{statement.source}: the result lacks {', '.join(missing)}; it has {', '.join(columns)}")
    if repeated := sorted(_find_repeated(columns) & {*SCHEMAS[name].names}):
        raise InputError(f"{statement.source}: the result has {', '.join(repeated)} more than once; keep one")


def _find_repeated(columns: Sequence[str]) -> set[str]:
    # The names in a subquery of PostgreSQL, and of SQLite (`id`, `id:1`). MySQL rejects repeated names itself.
    counts = Counter(re.sub(r":[0-9]+$", "", column) for column in columns)
    return {name for name, times in counts.items() if times > 1}
