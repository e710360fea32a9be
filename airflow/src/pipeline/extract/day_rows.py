"""The rows of an extraction by day, each day in one order that doesn't depend on the database's."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.extract.columns import INTERACTIONS
from pipeline.extract.conversion import DAY
from pipeline.extract.moments import FIRST, LAST

# All columns, so that only equal rows are in no order.
_ORDER = [(name, "ascending") for name in ("ts", "user_id", "dataset_id", "type", "price")]


class DayRows:
    """Rows in memory, each with the text of its day, or without one."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take batches of INTERACTIONS and the column `DAY`."""
        schema = INTERACTIONS.append(pa.field(DAY, pa.dictionary(pa.int32(), pa.string())))
        table = pa.Table.from_batches(list(batches), schema).unify_dictionaries().combine_chunks()
        days = pa.concat_arrays(table[DAY].chunks) if len(table) else pa.array([], schema.field(DAY).type)
        names = np.array(days.dictionary.to_pylist(), dtype=object)
        ascending = np.argsort(names)
        rank = np.empty(len(names), np.int32)
        rank[ascending] = np.arange(len(names), dtype=np.int32)
        codes = days.indices.fill_null(0).to_numpy()
        # Rows without a day come last.
        is_null = days.is_null().to_numpy(zero_copy_only=False)
        place = np.where(is_null, len(names), rank[codes] if len(names) else 0)
        self._order = np.argsort(place, kind="stable")
        bounds = np.searchsorted(place[self._order], np.arange(len(names) + 2))
        keys: list[str | None] = [*names[ascending].tolist(), None]
        self._bounds = {
            key: (int(bounds[number]), int(bounds[number + 1]))
            for number, key in enumerate(keys)
            if bounds[number] < bounds[number + 1]
        }
        self._rows = table.drop_columns(DAY)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def days(self) -> list[str]:
        """The days that have rows, ascending."""
        return [day for day in self._bounds if day is not None]

    def of_day(self, day: str | None) -> pa.Table:
        """Return the rows of a day, or those without a day."""
        first, end = self._bounds.get(day, (0, 0))
        return self._rows.take(pa.array(self._order[first:end])).sort_by(_ORDER)


def is_in_calendar(rows: pa.Table) -> bool:
    """Return whether no row has a time that stands for one outside of the calendar."""
    ends = pa.array([FIRST, LAST], rows["ts"].type)
    return not pc.any(pc.is_in(rows["ts"], ends)).as_py()
