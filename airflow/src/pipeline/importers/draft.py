"""Building a `Content` row by row, with text ids turned into row numbers."""

from array import array
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.business.content import DATASETS, INTERACTIONS, USERS, Content

_MICROSECONDS = 1_000_000


@dataclass
class Draft:
    """Interactions and what they refer to, as far as they are read."""

    datasets: dict[str, dict[str, object]] = field(default_factory=dict)
    _rows_of: dict[str, int] = field(default_factory=dict)
    _users: dict[str, int] = field(default_factory=dict)
    _user: "array[int]" = field(default_factory=lambda: array("q"))
    _dataset: "array[int]" = field(default_factory=lambda: array("q"))
    _type: list[str] = field(default_factory=list)
    _price: list[float | None] = field(default_factory=list)
    _ts: "array[float]" = field(default_factory=lambda: array("d"))

    def add_dataset(self, external_id: str, **columns: object) -> bool:
        """Add a dataset by its canonical columns; return False when the id was there already."""
        if external_id in self._rows_of:
            return False
        self._rows_of[external_id] = len(self._rows_of)
        self.datasets[external_id] = columns
        return True

    def knows(self, dataset: str) -> bool:
        """Return whether a dataset was added."""
        return dataset in self._rows_of

    def add_interaction(self, user: str, dataset: str, kind: str, ts: float, price: float | None = None) -> None:
        """Add what a user did with a known dataset at `ts` (Unix seconds)."""
        self._user.append(self._users.setdefault(user, len(self._users)))
        self._dataset.append(self._rows_of[dataset])
        self._type.append(kind)
        self._price.append(price)
        self._ts.append(ts)

    def content(self) -> Content:
        """Return what was added, interactions in the order of time.

        A dataset or user without a creation time gets that of its first interaction.
        """
        micros = np.round(np.array(self._ts) * _MICROSECONDS).astype(np.int64)
        order = np.argsort(micros, kind="stable")
        user, dataset = np.array(self._user, np.int64), np.array(self._dataset, np.int64)
        interactions = pa.table(
            [
                user[order],
                dataset[order],
                pa.array(self._type).take(order),
                pa.array(self._price, pa.float64()).take(order),
                pa.array(micros[order], pa.timestamp("us", tz="UTC")),
            ],
            schema=INTERACTIONS,
        )
        return Content(
            _users(list(self._users), _first(user, micros, len(self._users))),
            self._datasets(_first(dataset, micros, len(self._rows_of))),
            interactions,
        )

    def _datasets(self, first: pa.Array) -> pa.Table:
        columns: dict[str, object] = {
            name: [columns.get(name) for columns in self.datasets.values()] for name in DATASETS.names
        }
        created = pc.coalesce(pa.array(columns["created_at"], pa.timestamp("us", tz="UTC")), first)
        columns |= {
            "external_id": list(self.datasets),
            "created_at": created,
            "updated_at": created,
            "is_deleted": np.zeros(len(self.datasets), np.bool_),
        }
        return pa.table([columns[name] for name in DATASETS.names], schema=DATASETS)


def _users(external_ids: list[str], first: pa.Array) -> pa.Table:
    nothing = pa.nulls(len(external_ids), pa.string())
    return pa.table([external_ids, nothing, nothing, nothing, first], schema=USERS)


def _first(
    rows: np.ndarray[tuple[int], np.dtype[np.int64]], micros: np.ndarray[tuple[int], np.dtype[np.int64]], n: int
) -> pa.Array:
    """Return the time of each row's first interaction, null without one."""
    latest = np.iinfo(np.int64).max
    earliest = np.full(n, latest, np.int64)
    np.minimum.at(earliest, rows, micros)
    return pa.array(earliest, pa.int64(), mask=earliest == latest).cast(pa.timestamp("us", tz="UTC"))
