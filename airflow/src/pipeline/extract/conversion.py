"""Converts rows of a database to Arrow, in the canonical columns."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from functools import partial

import pyarrow as pa

from business import BusinessDatabase, RowBatches, Statement
from business.database import Rows
from pipeline.errors import InputError
from pipeline.extract.columns import ID_KINDS, REQUIRED, SCHEMAS
from pipeline.extract.ids import IdReader, external_ids
from pipeline.extract.moments import moment_column
from pipeline.extract.values import UnusableValueError, Values, flag_column, price_column, text_column

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
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a statement in the canonical columns of a table, and in `DAY` if it is among `columns`.

        Times without an offset are in `zone`. Raises `InputError`.
        """
        result = database.rows(statement, columns=columns, where=where)
        check_columns(name, statement, result)
        for rows in result:
            yield self._batch(name, statement, result.columns, rows, zone)

    def _batch(self, name: str, statement: Statement, columns: list[str], rows: Rows, zone: tzinfo) -> pa.RecordBatch:
        values: dict[str, Values] = dict(zip(columns, zip(*rows, strict=True), strict=True))
        absent: Values = (None,) * len(rows)
        schema = SCHEMAS[name]
        if "external_id" in schema.names:
            values["external_id"] = external_ids(values["id"], values.get("external_id", absent))
        arrays = []
        for field in schema:
            try:
                arrays.append(self._column(name, field, values.get(field.name, absent), zone))
            except UnusableValueError as error:
                raise InputError(f"{statement.source}: column {field.name}: {error}") from error
        if DAY in values:
            schema = schema.append(_DAY_FIELD)
            arrays.append(pa.array(values[DAY], pa.string()).dictionary_encode())
        return pa.record_batch(arrays, schema=schema)

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
        key = f"{column}.{'last' if is_late else 'first'}"
        self.outside_calendar[key] = min(text, self.outside_calendar.get(key, text))


def check_columns(name: str, statement: Statement, result: RowBatches) -> None:
    """Raise `InputError` if a result lacks a required column of a table, or has one twice."""
    if missing := [column for column in REQUIRED[name] if column not in result.columns]:
        raise InputError(
            f"{statement.source}: the result lacks {', '.join(missing)}; it has {', '.join(result.columns)}"
        )
    if repeated := sorted(_find_repeated(result.columns) & {*SCHEMAS[name].names}):
        raise InputError(f"{statement.source}: the result has {', '.join(repeated)} more than once; keep one")


def _find_repeated(columns: list[str]) -> set[str]:
    # The names in a subquery of PostgreSQL, and of SQLite (`id`, `id:1`). MySQL rejects repeated names itself.
    counts = Counter(re.sub(r":[0-9]+$", "", column) for column in columns)
    return {name for name, times in counts.items() if times > 1}
