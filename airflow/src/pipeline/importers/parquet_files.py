"""Rows of Parquet: columns with types of their own."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.importers.bad_rows import FileFaults
from pipeline.importers.header import match_columns
from pipeline.importers.rows import Columns, Row
from pipeline.importers.text_files import UnreadableFileError, missing_file

_ROWS_PER_BATCH = 10_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a zone is added where the column has one
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


def rows(path: Path, encoding: str, columns: Columns, faults: FileFaults) -> Iterator[tuple[int, Row]]:
    """Yield each row with its number; raises `UnreadableFileError` and `HeaderError`."""
    del encoding
    try:
        with pq.ParquetFile(path, read_dictionary=_text_columns(path)) as file:
            names = file.schema_arrow.names
            matched, misnamed = match_columns(names, columns)
            for fault in misnamed:
                faults.add(0, fault)
            number = 0
            chosen = {meant: name for name, meant in zip(names, matched, strict=True) if meant is not None}
            for batch in file.iter_batches(_ROWS_PER_BATCH, columns=list(chosen.values())):
                cells = {meant: _values(batch.column(batch.schema.get_field_index(chosen[meant]))) for meant in chosen}
                for values in zip(*cells.values(), strict=True):
                    number += 1
                    yield number, dict(zip(cells, values, strict=True))
    except FileNotFoundError as error:
        raise UnreadableFileError(missing_file(path)) from error
    except (OSError, pa.ArrowException) as error:
        raise UnreadableFileError(f"can't be read as Parquet: {str(error).splitlines()[0][:200]}") from error


def _text_columns(path: Path) -> list[str]:
    """Return the columns to read as dictionaries, so that a text that is repeated in many rows is stored once.

    Otherwise a file of 100 kB could need gigabytes.
    """
    return [
        field.name
        for field in pq.read_schema(path)
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]


def _values(column: pa.Array) -> list[object]:
    """Return Python values; a value without a Python equivalent is returned, and reported, as text or bytes."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        held = _values(column.dictionary)
        return [None if index is None else held[index] for index in column.indices.to_pylist()]
    if pa.types.is_timestamp(kind):
        return [_moment(value, kind) for value in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_date(kind):
        days = column.cast(pa.date32()).cast(pa.int32()).to_pylist()
        return [_day(value) for value in days]
    if pa.types.is_float16(kind):
        column = column.cast(pa.float64())
    if pa.types.is_large_string(kind) or pa.types.is_string(kind):
        return _texts(column)
    values: list[object] = column.to_pylist()
    return values


def _texts(column: pa.Array) -> list[object]:
    try:
        values: list[object] = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pa.large_binary()).to_pylist()
    return values


def _moment(value: int | None, kind: pa.TimestampType) -> object:
    if value is None:
        return None
    try:
        micros = value // 1000 if kind.unit == "ns" else value * _MICROSECONDS[kind.unit]
        moment = _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return f"{value} {kind.unit} after 1970"
    return moment.replace(tzinfo=UTC) if kind.tz else moment


def _day(value: int | None) -> object:
    if value is None:
        return None
    try:
        return date(1970, 1, 1) + timedelta(days=value)
    except OverflowError:
        return f"{value} days after 1970"
