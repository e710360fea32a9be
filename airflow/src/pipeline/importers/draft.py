"""Builds a `Content` row by row: ids become row numbers, interactions become arrays."""

from array import array
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.ids import EntityKind
from pipeline.business.content import DATASETS, INTERACTIONS, TIME, USERS, Content
from pipeline.importers.cells import TYPES, id_cell

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset's columns beside its id."""

    title: str
    description: str | None = None
    tags: str | None = None
    price: float | None = None
    provider: str | None = None
    cover_image: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user's columns beside the id."""

    company_name: str | None = None
    province: str | None = None
    city: str | None = None
    created_at: datetime | None = None


@dataclass
class IdTable:
    """Ids of one kind, numbered in the order of their first appearance; a repeated one costs a look-up."""

    kind: EntityKind
    texts: list[str] = field(default_factory=list)
    _rows: dict[str, int] = field(default_factory=dict)
    _numbers: "array[int]" = field(default_factory=lambda: array("q"))

    def row_of(self, value: object) -> int:
        """Return the row of an id, a new one if it is new; raises `BadCellError`."""
        row = self._rows.get(value) if type(value) is str else None
        if row is not None:
            return row
        number, text = id_cell(value, self.kind)
        row = self._rows.get(text)
        if row is None:
            row = self._rows[text] = len(self.texts)
            self.texts.append(text)
            self._numbers.append(number)
        return row

    def find(self, value: object) -> int | None:
        """Return the row of a known id; raises `BadCellError`."""
        row = self._rows.get(value) if type(value) is str else None
        return self._rows.get(id_cell(value, self.kind)[1]) if row is None else row

    def numbers(self) -> NDArray[np.int64]:
        """Return the number of each row's id, int64 [n]."""
        return np.array(self._numbers, np.int64)

    def collisions(self) -> list[tuple[str, str]]:
        """Return the pairs of different texts that stand for one number."""
        numbers = self.numbers()
        order = np.argsort(numbers, kind="stable")
        same = np.flatnonzero(numbers[order][1:] == numbers[order][:-1])
        return [(self.texts[order[place]], self.texts[order[place + 1]]) for place in same]


@dataclass
class Draft:
    """Interactions, and the datasets and users that they refer to, as read so far."""

    dataset_ids: IdTable = field(default_factory=lambda: IdTable("dataset"))
    user_ids: IdTable = field(default_factory=lambda: IdTable("user"))
    datasets: dict[int, DatasetRow] = field(default_factory=dict)
    users: dict[int, UserRow] = field(default_factory=dict)
    _user: "array[int]" = field(default_factory=lambda: array("q"))
    _dataset: "array[int]" = field(default_factory=lambda: array("q"))
    _type: "array[int]" = field(default_factory=lambda: array("b"))
    _price: "array[float]" = field(default_factory=lambda: array("d"))
    _ts: "array[float]" = field(default_factory=lambda: array("d"))

    def add_interaction(self, user: int, dataset: int, kind: int, ts: datetime, price: float | None) -> None:
        """Add an interaction by the rows of its user and dataset; `kind` is a position in `TYPES`."""
        self._user.append(user)
        self._dataset.append(dataset)
        self._type.append(kind)
        self._price.append(np.nan if price is None else price)
        self._ts.append(ts.timestamp())

    def content(self) -> Content:
        """Return the added rows, interactions in the order of time.

        A dataset or user without a creation time gets that of its first interaction.
        """
        micros = np.round(np.array(self._ts) * _MICROSECONDS).astype(np.int64)
        order = np.argsort(micros, kind="stable")
        user, dataset = np.array(self._user, np.int64), np.array(self._dataset, np.int64)
        price = np.array(self._price)[order]
        interactions = pa.table(
            [
                user[order],
                dataset[order],
                pa.array(TYPES, pa.string()).take(pa.array(np.array(self._type, np.int8)[order])),
                pa.array(price, mask=np.isnan(price)),
                pa.array(micros[order], TIME),
            ],
            schema=INTERACTIONS,
        )
        return Content(
            self._users(_first(user, micros, len(self.user_ids.texts))),
            self._datasets(_first(dataset, micros, len(self.dataset_ids.texts))),
            interactions,
        )

    def _datasets(self, first: pa.Array) -> pa.Table:
        rows = [self.datasets[row] for row in range(len(self.dataset_ids.texts))]
        created = pc.coalesce(pa.array([row.created_at for row in rows], TIME), first)
        columns: dict[str, object] = {
            "external_id": self.dataset_ids.texts,
            "title": [row.title for row in rows],
            "description": [row.description for row in rows],
            "tags": [row.tags for row in rows],
            "price": [row.price or 0.0 for row in rows],
            "provider": [row.provider for row in rows],
            "cover_image": [row.cover_image for row in rows],
            "created_at": created,
            "updated_at": created,
            "is_deleted": np.zeros(len(rows), np.bool_),
        }
        return pa.table([columns[name] for name in DATASETS.names], schema=DATASETS)

    def _users(self, first: pa.Array) -> pa.Table:
        unknown = UserRow()
        rows = [self.users.get(row, unknown) for row in range(len(self.user_ids.texts))]
        return pa.table(
            [
                self.user_ids.texts,
                [row.company_name for row in rows],
                [row.province for row in rows],
                [row.city for row in rows],
                pc.coalesce(pa.array([row.created_at for row in rows], TIME), first),
            ],
            schema=USERS,
        )


def _first(rows: NDArray[np.int64], micros: NDArray[np.int64], n: int) -> pa.Array:
    """Return the time of each row's first interaction, null if there is none."""
    latest = np.iinfo(np.int64).max
    earliest = np.full(n, latest, np.int64)
    np.minimum.at(earliest, rows, micros)
    return pa.array(earliest, pa.int64(), mask=earliest == latest).cast(TIME)
