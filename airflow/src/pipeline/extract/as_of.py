"""The moment that an extraction stands at: rows that came later do not enter."""

from datetime import datetime
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

# The time at which a row came to be. Without one, a row enters.
_TIME_COLUMNS = {"users": "created_at", "datasets": "created_at", "interactions": "ts"}

Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


class AsOf(NamedTuple):
    """Leaves out the rows of the time after `moment`, up to `now`.

    A row after `now` is no later row but a wrong one: it is left for the quality checks, which report it.
    """

    moment: datetime
    now: datetime

    def keep(self, name: str, rows: Rows) -> Rows:
        """Return the rows of a table that were there at the moment."""
        times = rows.column(_TIME_COLUMNS[name])
        moment, now = (pa.scalar(bound, times.type) for bound in (self.moment, self.now))
        later = pc.and_(pc.greater(times, moment), pc.less_equal(times, now))
        return rows.filter(pc.invert(pc.fill_null(later, False)))
