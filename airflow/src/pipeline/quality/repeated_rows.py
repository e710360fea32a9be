"""Finds the rows that repeat others."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipeline.relational import Engine

_SQL = """
SELECT place FROM checked
JOIN (SELECT {keys}, min(place) AS first_place FROM checked GROUP BY {keys} HAVING count(*) > 1) AS repeated
USING ({keys}) WHERE place > first_place
"""


def repeated_rows(engine: Engine, table: pa.Table, keys: Sequence[str]) -> pa.ChunkedArray:
    """Return a mask of the rows whose keys an earlier row has; no key may be null."""
    checked = table.select(keys).append_column("place", pa.array(np.arange(len(table))))
    mask = np.zeros(len(table), bool)
    for batch in engine.query(_SQL.format(keys=", ".join(keys)), {"checked": checked}):
        mask[batch["place"].to_numpy()] = True
    return pa.chunked_array([mask])
