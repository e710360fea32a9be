"""Parses ids and flags of a user's database of any SQL type."""

import math
from decimal import Decimal
from uuid import UUID

from contracts.ids import EntityKind, UnusableIdError, is_numeric_id, parse_id

# Above this number a double can't distinguish neighbouring whole numbers.
_LARGEST_EXACT = 2**53
_TRUE = frozenset({"1", "t", "true", "y", "yes"})
_FALSE = frozenset({"", "0", "f", "false", "n", "no"})


class UnusableFlagError(ValueError):
    """The value is neither true nor false."""


def parse_row_id(value: object, kind: EntityKind) -> int:
    """Return the number of an id from a database; raises `UnusableIdError`.

    A whole number is an id of any SQL type: 29 as float8 or numeric is 29. A text is used literally.
    """
    if isinstance(value, float | Decimal):
        return parse_id(_whole_number(value), kind)
    if isinstance(value, UUID):
        return parse_id(str(value), kind)
    if isinstance(value, bytes | bytearray | memoryview):
        raise UnusableIdError("bytes are not an id; select them as text, a UUID by BIN_TO_UUID(…) or LOWER(HEX(…))")
    return parse_id(value, kind)


def text_of_id(value: object) -> str | None:
    """Return the text of a text id; None for a whole number."""
    text = str(value) if isinstance(value, UUID) else value
    return text if isinstance(text, str) and not is_numeric_id(text) else None


def parse_flag(value: object) -> bool:
    """Return whether a flag of any SQL type is set, NULL is not; raises `UnusableFlagError`."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, bytes) and len(value) == 1:  # BIT(1) of MySQL
        return value != b"\x00"
    if isinstance(value, int | float | Decimal) and value in {0, 1}:
        return bool(value)
    if isinstance(value, str) and (word := value.strip().lower()) in _TRUE | _FALSE:
        return word in _TRUE
    raise UnusableFlagError("is neither true nor false; select true, false, 1 or 0")


def _whole_number(value: float | Decimal) -> int:
    if not math.isfinite(value) or value != int(value):
        raise UnusableIdError("a numeric id is a whole number")
    if isinstance(value, float) and abs(value) > _LARGEST_EXACT:
        raise UnusableIdError("a floating-point number of this size is rounded; select the id as bigint or text")
    return int(value)
