"""Converts a database's values to an Arrow column of ids; a text becomes the number for which it stands."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import TypeGuard

import pyarrow as pa

from business.values import parse_row_id, text_of_id
from contracts.ids import MAX_ID, EntityKind, UnusableIdError
from pipeline.extract.values import UnusableValueError, Values, kinds_of

ParseId = Callable[[object, EntityKind], int]


class IdReader:
    """Reads the ids of one kind in all tables of an extraction, and finds two texts that stand for one number."""

    def __init__(self, kind: EntityKind, parse: ParseId = parse_row_id) -> None:
        self._kind = kind
        self._parse = parse
        self._known: dict[object, int | None] = {None: None}
        self._texts: dict[int, str] = {}

    def column(self, values: Values) -> pa.Array:
        """Return int64, NULL for a missing value; raises `UnusableValueError`.

        Whole numbers below 1 stay as they are; the quality checks count them.
        """
        kinds = kinds_of(values)
        if kinds == {int}:
            try:
                return pa.array(values, pa.int64())
            except (pa.ArrowInvalid, OverflowError):
                pass  # found below, with its value
        if bool in kinds:
            raise UnusableValueError(True, "an id is a whole number or a text, not true or false")
        return pa.array([self._number(value) for value in values], pa.int64())

    def _number(self, value: object) -> int | None:
        try:
            if value in self._known:
                return self._known[value]
        except TypeError as error:  # not hashable: a list, an object
            raise UnusableValueError(value, f"an id is not of type {type(value).__name__}") from error
        number = self._known[value] = self._read(value)
        return number

    def _read(self, value: object) -> int:
        if _is_finite(value) and -MAX_ID <= value < 1 and value == int(value):
            return int(value)
        try:
            number = self._parse(value, self._kind)
        except UnusableIdError as error:
            raise UnusableValueError(value, str(error)) from error
        text = text_of_id(value)
        if text is not None and self._texts.setdefault(number, text) != text:
            raise UnusableValueError(
                text, f"stands for the same number as {self._texts[number]!r}; change one of the two"
            )
        return number


def _is_finite(value: object) -> TypeGuard[int | float | Decimal]:
    return isinstance(value, int | float | Decimal) and math.isfinite(value)


def external_ids(ids: Values, given: Values) -> list[object]:
    """Return the texts of text ids; a number id gets the external id that the row has."""
    if kinds_of(ids) <= {int, float, Decimal}:
        return list(given)
    texts = (text_of_id(value) for value in ids)
    return [other if text is None else text for text, other in zip(texts, given, strict=True)]
