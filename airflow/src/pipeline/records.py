"""The clean data of a run in memory: the catalogue, and all interactions as arrays in the order of time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.ids import hash_id, is_numeric_id
from contracts.user_blob import History
from pipeline.ordered_rows import load_ordered_rows
from pipeline.pairs import Groups, first_of_pairs, group_rows
from pipeline.trends import trends_before
from ranking.catalogue import Catalogue
from ranking.item_stats import ItemStats
from ranking.user import user_features


@dataclass(frozen=True)
class Records:
    """n datasets, u users, m interactions in ascending time, without exposures.

    `created_at` int64 [n] Unix seconds; `user_ids` int64 [u] ascending; `user` int32 [m] rows of `user_ids`, `item`
    int32 [m] catalogue positions, `ts` int64 [m] Unix seconds, `types` uint8 [m] `InteractionType`. `end` is the time
    after the last interaction of the whole data, even if interactions are held out. `own_users` float32 [u, columns]
    are the declared columns of users, as of the run.
    """

    catalogue: Catalogue
    descriptions: Sequence[str | None]
    created_at: NDArray[np.int64]
    user_ids: NDArray[np.int64]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    ts: NDArray[np.int64]
    types: NDArray[np.uint8]
    end: int
    own_users: NDArray[np.float32]

    @classmethod
    def load(cls, folder: Path) -> "Records":
        """Read the output of the quality step."""
        datasets = pq.read_table(folder / "datasets.parquet").sort_by("id")
        rows = load_ordered_rows(folder)
        return cls(
            _catalogue(datasets),
            datasets["description"].to_pylist(),
            _seconds(datasets["created_at"]),
            *rows,
            int(rows.ts[-1]) + 1 if len(rows.ts) else 1,
            np.empty((len(rows.user_ids), 0), np.float32),
        )

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def start(self) -> int:
        """The time of the first interaction, Unix seconds."""
        return int(self.ts[0]) if len(self.ts) else self.end

    @property
    def last(self) -> int:
        """The time of the last interaction of these records, Unix seconds; there has to be one."""
        return int(self.ts[-1])

    def only(self, keep: NDArray[np.bool_]) -> "Records":
        """Return the records with the interactions of the mask [m]; ids, positions and `end` don't change."""
        return replace(self, user=self.user[keep], item=self.item[keep], ts=self.ts[keep], types=self.types[keep])

    def with_datasets(self, kept: NDArray[np.int64]) -> "Records":
        """Return the records of only the ascending positions `kept`, which become positions 0, 1, …"""
        place = np.full(len(self.catalogue), -1, np.int32)
        place[kept] = np.arange(len(kept))
        rows = self.only(place[self.item] >= 0)
        return replace(
            rows,
            catalogue=self.catalogue.only(kept),
            descriptions=[self.descriptions[position] for position in kept],
            created_at=self.created_at[kept],
            item=place[rows.item],
        )

    @cached_property
    def by_user(self) -> Groups:
        """The rows of each user, in the order of time."""
        return group_rows(self.user, len(self.user_ids))

    def rows_of(self, user: int, before: int | None = None) -> NDArray[np.int64]:
        """Return a user's rows in the order of time, up to but excluding the time `before` (Unix seconds)."""
        rows = self.by_user.of(user)
        return rows if before is None else rows[: np.searchsorted(self.ts[rows], before)]

    def history(self, rows: NDArray[np.int64]) -> History:
        """Return rows of one user as the history that serving would have."""
        return History.build(self.catalogue.ids[self.item[rows]], self.ts[rows], self.types[rows])

    @cached_property
    def prices(self) -> NDArray[np.float32]:
        """Prices of the catalogue, float32 [n]."""
        return self.catalogue.prices.astype(np.float32)

    def new_stats(self) -> ItemStats:
        """Return item statistics without any interaction."""
        return ItemStats(self.created_at, self.prices, float(self.start))

    @cached_property
    def trends(self) -> NDArray[np.float32]:
        """The trend of each interaction's dataset just before it, float32 [m, 3]; see `trends_before`."""
        return trends_before(self.item, self.ts, self.created_at)

    def features_of(self, user: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the long-term features of a user, by interactions in the order of time, and the declared columns."""
        computed = user_features(self.types[rows], self.prices[self.item[rows]], self.trends[rows])
        return np.concatenate([computed, self.own_users[user]])

    @cached_property
    def first_of_pair(self) -> NDArray[np.int64]:
        """Return the rows of each user's first interaction with each dataset by time."""
        return first_of_pairs(self.by_user, self.item, len(self.catalogue))


def _catalogue(datasets: pa.Table) -> Catalogue:
    return Catalogue(
        _ints(datasets["id"]),
        datasets["title"].to_pylist(),
        datasets["price"].fill_null(0.0).to_numpy(),
        datasets["cover_image"].to_pylist(),
        [
            [tag for tag in (part.strip() for part in (tags or "").split(";")) if tag]
            for tags in datasets["tags"].to_pylist()
        ],
        datasets["provider"].to_pylist(),
        _external_ids(datasets),
    )


def _external_ids(datasets: pa.Table) -> list[str | None] | None:
    """Return the texts of ids, None if all ids are numbers.

    A text that stands for another number is not an id: callers could not use it.
    """
    texts = [
        text if text is not None and not is_numeric_id(text) and hash_id(text, "dataset") == id_ else None
        for id_, text in zip(datasets["id"].to_pylist(), datasets["external_id"].to_pylist(), strict=True)
    ]
    return texts if any(text is not None for text in texts) else None


def _ints(column: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    values: NDArray[np.int64] = (
        column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    )
    return values.astype(np.int64, copy=False)


def _seconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return _ints(column.cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64()).fill_null(0))
