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
            table["title"].to_pylist(),
            table["price"].to_numpy(),
            table["cover_image"].to_pylist(),
            _lists(table["tags"].combine_chunks()),
            _shared(table["provider"].combine_chunks()),
        )


def _shared(column: pa.StringArray) -> list[str | None]:
    """Return the texts of a column, equal ones as one object: a few hundred providers have all datasets."""
    encoded = column.dictionary_encode()
    texts: list[str | None] = encoded.dictionary.to_pylist()
    return [None if index is None else texts[index] for index in encoded.indices.to_pylist()]


def _lists(column: pa.ListArray) -> list[list[str]]:
    """Return the lists of a column, in which equal texts are one object."""
    texts: list[Any] = _shared(column.values)  # no tag is None
    offsets = column.offsets.to_pylist()
    return [texts[begin:end] for begin, end in pairwise(offsets)]
