"""Finds purchases that are in the business database and were also posted as events: they count once."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# The shop's clock and the caller's clock differ, and a purchase is stored a moment after it is posted.
SAME_PURCHASE_SECONDS = 60
_KEYS = ["user_id", "dataset_id"]


def purchases_of(rows: pa.Table) -> pa.Table:
    """Return the complete purchases among interactions: user_id, dataset_id, ts (Unix microseconds), and other columns.

    The columns `type` and `price` are left out.
    """
    of_type = rows.filter(pc.equal(rows["type"], "purchase")).drop_columns(["type", "price"])
    return of_type.set_column(of_type.schema.get_field_index("ts"), "ts", of_type["ts"].cast(pa.int64())).drop_null()


class StoredPurchases:
    """The purchases of the business database, as `purchases_of` returns them."""

    def __init__(self, purchases: pa.Table) -> None:
        self._stored = _by_time(purchases).assign(stored=True)

    def repeated(self, events: pa.Table) -> NDArray[np.bool_]:
        """Return a mask [events] of purchases that are stored for the same user and dataset, within a minute."""
        repeated = np.zeros(len(events), np.bool_)
        posted = _by_time(purchases_of(events.append_column("row", pa.array(np.arange(len(events))))))
        matched = pd.merge_asof(
            posted,
            self._stored,
            on="ts",
            by=_KEYS,
            direction="nearest",
            tolerance=SAME_PURCHASE_SECONDS * 1_000_000,
        )
        repeated[matched.loc[matched["stored"].notna(), "row"]] = True
        return repeated


def _by_time(purchases: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = purchases.to_pandas()
    return frame.sort_values("ts", kind="stable")
