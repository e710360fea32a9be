"""The datasets that a bundle knows: what a caller sees of them, and their positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_SCHEMA = pa.schema(
    [
        ("dataset_id", pa.int64()),
        ("title", pa.string()),
        ("price", pa.float64()),
        ("cover_image", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("provider", pa.string()),
    ]
)
# Rows that become Python objects in about a millisecond.
_STEP = 4096


@dataclass(frozen=True)
class Catalogue:
    """Columns of n datasets, `ids` ascending; `prices` float64, `cover_images` may hold None."""

    ids: NDArray[np.int64]
    titles: Sequence[str]
    prices: NDArray[np.float64]
    cover_images: Sequence[str | None]
    tags: Sequence[Sequence[str]]
    providers: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _position(self) -> dict[int, int]:
        return {int(dataset_id): position for position, dataset_id in enumerate(self.ids)}

    @cached_property
    def _by_tag(self) -> dict[str, NDArray[np.int32]]:
        found: dict[str, list[int]] = {}
        for position, tags in enumerate(self.tags):
            for tag in tags:
                found.setdefault(tag.casefold(), []).append(position)
        return {tag: np.array(positions, np.int32) for tag, positions in found.items()}

    def position(self, dataset_id: int) -> int | None:
        """Return the position of a dataset, or None when the catalogue doesn't hold it."""
        return self._position.get(dataset_id)

    def positions(self, dataset_ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the positions of many datasets, -1 where the catalogue doesn't hold one."""
        if not len(self.ids):
            return np.full(len(dataset_ids), -1, np.int32)
        slots = np.minimum(np.searchsorted(self.ids, dataset_ids), len(self.ids) - 1)
        return np.where(self.ids[slots] == dataset_ids, slots, -1).astype(np.int32)

    def tagged(self, tag: str) -> NDArray[np.int32]:
        """Return the ascending positions of the datasets with a tag, whatever its case."""
        return self._by_tag.get(tag.casefold(), np.empty(0, np.int32))

    def only(self, positions: NDArray[np.int64]) -> "Catalogue":
        """Return the catalogue of some datasets, by their ascending positions in this one."""
        return Catalogue(
            self.ids[positions],
            [self.titles[position] for position in positions],
            self.prices[positions],
            [self.cover_images[position] for position in positions],
            [self.tags[position] for position in positions],
            [self.providers[position] for position in positions],
        )

    def save(self, path: Path) -> None:
        """Write the catalogue as Parquet."""
        columns = [
            self.ids,
            list(self.titles),
            self.prices,
            list(self.cover_images),
            [list(tags) for tags in self.tags],
            list(self.providers),
        ]
        pq.write_table(pa.table(columns, schema=_SCHEMA), path)

    @classmethod
    def load(cls, path: Path) -> "Catalogue":
        """Read what `save` wrote; raises `pyarrow.ArrowException` or `KeyError`."""
        table = pq.read_table(path, schema=_SCHEMA)
        return cls(
            table["dataset_id"].to_numpy(),
            _texts(table["title"].combine_chunks()),
            table["price"].to_numpy(),
            _texts(table["cover_image"].combine_chunks()),
            _lists(table["tags"].combine_chunks()),
            _shared(table["provider"].combine_chunks()),
        )


def _texts(column: pa.Array) -> list[Any]:
    """Return a column's values; in steps, for pyarrow lets no other thread go on meanwhile."""
    return [value for first in range(0, len(column), _STEP) for value in column.slice(first, _STEP).to_pylist()]


def _shared(column: pa.Array) -> list[Any]:
    """Return a column's texts, equal ones as one object: a few hundred providers have all datasets."""
    encoded = column.dictionary_encode()
    texts = [*encoded.dictionary.to_pylist(), None]
    return [texts[index] for index in encoded.indices.fill_null(len(texts) - 1).to_numpy().tolist()]


def _lists(column: pa.ListArray) -> list[tuple[str, ...]]:
    """Return a column's lists, in which equal texts are one object; as tuples, which the garbage collector forgets."""
    texts = _shared(column.flatten())
    return [tuple(texts[begin:end]) for begin, end in pairwise(column.offsets.to_numpy().tolist())]
