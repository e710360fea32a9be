"""Finds purchases that are in the business database and were also posted as events: they count once."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# The shop's clock and the caller's clock differ, and a purchase is stored a moment after it is posted.
SAME_PURCHASE_SECONDS = 60
_KEYS = ["user_id", "dataset_id"]


def repeated_purchases(events: pa.Table, known: pa.Table) -> NDArray[np.bool_]:
    """Return a mask [events] of purchases that `known` has for the same user and dataset, within a minute."""
    repeated = np.zeros(len(events), np.bool_)
    posted, stored = _purchases(events), _purchases(known)
    matched = pd.merge_asof(
        posted,
        stored.drop(columns="row").assign(stored=True),
        on="ts",
        by=_KEYS,
        direction="nearest",
        tolerance=SAME_PURCHASE_SECONDS * 1_000_000,
    )
    repeated[matched.loc[matched["stored"].notna(), "row"]] = True
    return repeated


def _purchases(rows: pa.Table) -> pd.DataFrame:
    """Return the complete purchases in ascending time: user_id, dataset_id, ts (Unix microseconds) and row."""
    numbered = rows.select([*_KEYS, "type", "ts"]).append_column("row", pa.array(np.arange(len(rows))))
    of_type = numbered.filter(pc.equal(numbered["type"], "purchase")).drop_columns("type")
    complete = of_type.set_column(2, "ts", of_type["ts"].cast(pa.int64())).drop_null()
    frame: pd.DataFrame = complete.to_pandas()
    return frame.sort_values("ts", kind="stable")
