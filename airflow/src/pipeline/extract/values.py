"""Converts a database's values to Arrow columns of prices, texts and flags."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import NoneType
from uuid import UUID

import pyarrow as pa

from business.values import UnusableFlagError, parse_flag
from contracts.datasets import TAG_SEPARATOR

Values = Sequence[object]

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?|[+-]?(?:nan|inf|infinity)", re.ASCII
)
_SHOWN_CHARS = 80


class UnusableValueError(ValueError):
    """A value which shows that the whole column, and not only this row, has the wrong contents."""

    def __init__(self, value: object, reason: str) -> None:
        value = bytes(value) if isinstance(value, memoryview) else value
        shown = repr(value if isinstance(value, str | int | float) else str(value))
        super().__init__(f"{shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + '…'}: {reason}")


def kinds_of(values: Values) -> set[type]:
    """Return the types of the values that are not NULL."""
    return set(map(type, values)) - {NoneType}


def price_column(values: Values) -> pa.Array:
    """Return numbers of any SQL type as float64, NaN and infinity too; raises `UnusableValueError`."""
    if kinds_of(values) <= {float}:
        return pa.array(values, pa.float64(), from_pandas=False)
    return pa.array([None if value is None else _number(value) for value in values], pa.float64(), from_pandas=False)


def text_column(values: Values) -> pa.Array:
    """Return texts, and other values as text; raises `UnusableValueError`."""
    if kinds_of(values) <= {str}:
        return pa.array(values, pa.string())
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def flag_column(values: Values) -> pa.Array:
    """Return flags; NULL is not set. Raises `UnusableValueError`."""
    return pa.array([_parsed(parse_flag, value) for value in values], pa.bool_())


def _parsed(parse: Callable[[object], bool], value: object) -> bool:
    try:
        return parse(value)
    except UnusableFlagError as error:
        raise UnusableValueError(value, str(error)) from error


def _number(value: object) -> float:
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and _NUMBER.fullmatch(value.strip().lower())):
        raise UnusableValueError(value, "is not a number; select the price as a number, without currency or separators")
    try:
        return float(value)  # type: ignore[arg-type] # one of the above
    except OverflowError:
        return float("inf")


def _text(value: object) -> str:
    if isinstance(value, str | int | float | Decimal | UUID):
        return str(value)
    if isinstance(value, list | tuple):
        return TAG_SEPARATOR.join(_text(part) for part in value if part is not None)
    if isinstance(value, bytes | bytearray | memoryview):
        raise UnusableValueError(bytes(value[:20]), "bytes are not a text; convert them in the SQL")
    return str(value)
