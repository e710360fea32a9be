"""Values of a declared column as the ranker reads them: float32, with codes for categories."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ranking.own_columns import MAX_CATEGORIES, MAX_CATEGORY_CHARS, OwnColumn, OwnColumns

MAX_NUMBER = 1e30


class ColumnValues(NamedTuple):
    """What an expression gave for `size` ids: the places of those that have a value, and the values, both [k]."""

    size: int
    places: NDArray[np.int64]
    values: Sequence[float] | Sequence[str]

    @classmethod
    def of(cls, table: pa.Table, ids: NDArray[np.int64]) -> Self:
        """Return the values of a table of `id` and `value`, for the ascending `ids`."""
        known = table.filter(table["value"].is_valid())
        return cls(len(ids), np.searchsorted(ids, known["id"].to_numpy()), known["value"].to_pylist())


class Filled(NamedTuple):
    """A column float32 [size], and how many ids have the default: in all, and for a value not within `MAX_NUMBER`."""

    column: NDArray[np.float32]
    defaults: int
    not_finite: int


def with_categories(own: OwnColumns, found: dict[str, list[ColumnValues]]) -> OwnColumns:
    """Return the columns with the most frequent categories of the values; those of one name have them in common."""
    counts: dict[str, Counter[str]] = {}
    for half, values in found.items():
        for column, each in zip(getattr(own, half), values, strict=True):
            if column.type == "category":
                known = (text for text in map(str, each.values) if len(text) <= MAX_CATEGORY_CHARS)
                counts.setdefault(column.name, Counter()).update(known)
    categories = {
        # Of equally frequent ones the first in the alphabet, so that the codes don't depend on the order of the rows.
        name: tuple(sorted(counted, key=lambda text: (-counted[text], text))[:MAX_CATEGORIES])
        for name, counted in counts.items()
    }
    halves = {
        half: tuple(
            column.model_copy(update={"categories": categories.get(column.name, ())}) for column in getattr(own, half)
        )
        for half in found
    }
    return OwnColumns(**halves)


def fill_column(column: OwnColumn, found: ColumnValues) -> Filled:
    """Return the numbers of a column; NULL, what is not finite and what is no known category have the default."""
    filled = np.full(found.size, column.default, np.float32)
    if column.type == "category":
        codes = {text: code for code, text in enumerate(column.categories, start=1)}
        values = np.array([codes.get(str(value), column.default) for value in found.values], np.float32)
        filled[found.places] = values
        return Filled(filled, found.size - int((values != column.default).sum()), 0)
    values = np.array(found.values, np.float64)
    # The difference of two such numbers is a float32, too.
    finite = np.abs(values) <= MAX_NUMBER
    filled[found.places[finite]] = values[finite].astype(np.float32)
    return Filled(filled, found.size - int(finite.sum()), int((~finite).sum()))
