"""The rows of an extraction by day, each day in one order that doesn't depend on the database's."""

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.extract.columns import INTERACTIONS
from pipeline.extract.conversion import DAY
from pipeline.extract.moments import FIRST, LAST

# All columns, so that only equal rows are in no order.
_ORDER = [(name, "ascending") for name in ("ts", "user_id", "dataset_id", "type", "price")]


class _Batch(NamedTuple):
    """A batch of rows without their days, the rows by day, int32 [rows], and where each day's are among them."""

    rows: pa.RecordBatch
    order: NDArray[np.int32]
    bounds: dict[str | None, tuple[int, int]]

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "_Batch":
        days = batch.column(DAY)
        names: list[str | None] = [*days.dictionary.to_pylist(), None]
        codes = days.indices.fill_null(len(names) - 1).to_numpy()
        ends = np.cumsum(np.bincount(codes, minlength=len(names))).tolist()
        bounds = {name: (first, end) for name, first, end in zip(names, [0, *ends], ends, strict=False) if first < end}
        return cls(batch.drop_columns(DAY), np.argsort(codes, kind="stable").astype(np.int32), bounds)

    def of_day(self, day: str | None) -> pa.RecordBatch:
        first, end = self.bounds[day]
        return self.rows.take(pa.array(self.order[first:end]))


class DayRows:
    """Rows in memory, each with the text of its day, or without one."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take batches of INTERACTIONS and the column `DAY`; they stay as they are, because a table would be a copy."""
        self._batches = [_Batch.of(batch) for batch in batches]

    def __len__(self) -> int:
        return sum(len(batch.rows) for batch in self._batches)

    @cached_property
    def days(self) -> list[str]:
        """The days that have rows, ascending."""
        return sorted({day for batch in self._batches for day in batch.bounds if day is not None})

    def of_day(self, day: str | None) -> pa.Table:
        """Return the rows of a day, or those without a day."""
        parts = [batch.of_day(day) for batch in self._batches if day in batch.bounds]
        return pa.Table.from_batches(parts, INTERACTIONS).combine_chunks().sort_by(_ORDER)


def is_in_calendar(rows: pa.Table) -> bool:
    """Return whether no row has a time that stands for one outside of the calendar."""
    ends = pa.array([FIRST, LAST], rows["ts"].type)
    return not pc.any(pc.is_in(rows["ts"], ends)).as_py()
