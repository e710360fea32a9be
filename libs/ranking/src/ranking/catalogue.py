"""The datasets of a bundle: the data that a caller sees of them, and their positions."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_T_co = TypeVar("_T_co", covariant=True)
_TAGS = pa.list_(pa.string())
_SCHEMA = pa.schema(
    [
        ("dataset_id", pa.int64()),
        ("title", pa.string()),
        ("price", pa.float64()),
        ("cover_image", pa.string()),
        ("tags", _TAGS),
        ("provider", pa.string()),
    ]
)
_EXTERNAL_ID = pa.field("external_id", pa.string())


MAX_DATASETS = 50_000_000
MAX_ROW_GROUPS = 10_000
MAX_CATALOGUE_BYTES = 4 * 2**30


class MalformedCatalogueError(ValueError):
    """The file is not a catalogue, or declares more than one may have; the message says what."""


class Column(Sequence[_T_co]):
    """A column of Parquet whose values become Python objects when they are needed.

    Converting all values would delay the answers of a process that is changing its model, and few of them are ever
    needed.
    """

    def __init__(self, values: pa.Array) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> int:
        """The size of its values in bytes."""
        return int(self.values.nbytes)

    @overload
    def __getitem__(self, position: int) -> _T_co: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[_T_co]: ...
    def __getitem__(self, position: int | slice) -> _T_co | Sequence[_T_co]:
        if isinstance(position, slice):
            return [self[number] for number in range(*position.indices(len(self)))]
        value: _T_co = self.values[position].as_py()
        return value

    def __iter__(self) -> Iterator[_T_co]:
        return iter(self.values.to_pylist())


@dataclass(frozen=True)
class Catalogue:
    """Columns of n datasets, `ids` ascending; `prices` float64, `cover_images` may hold None.

    `external_ids` holds the text of each text id, and None for an id that is a number; it is None if all ids are
    numbers.
    """

    ids: NDArray[np.int64]
    titles: Sequence[str]
    prices: NDArray[np.float64]
    cover_images: Sequence[str | None]
    tags: Sequence[Sequence[str]]
    providers: Sequence[str | None]
    external_ids: Sequence[str | None] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _places(self) -> tuple[Sequence[int], int, int]:
        """The ids, and the difference between id and position at the first and at the last of them."""
        if not len(self.ids):
            return (), 0, 0
        # A dict would take ten times the memory, and filling it would delay the answers meanwhile.
        ids = self.ids.data
        return ids, ids[0], ids[-1] - (len(ids) - 1)

    @cached_property
    def _by_tag(self) -> dict[str, NDArray[np.int32]]:
        lists = self.tags.values if isinstance(self.tags, Column) else pa.array(map(list, self.tags), _TAGS)
        tags = lists.flatten().dictionary_encode()
        owners = np.repeat(np.arange(len(self), dtype=np.int32), lists.value_lengths().to_numpy())
        names = [tag.casefold() for tag in tags.dictionary.to_pylist()]
        number = {name: place for place, name in enumerate(dict.fromkeys(names))}
        # In as few bits as possible: numpy sorts numbers of up to 16 bits by radix.
        numbers = np.array([number[name] for name in names], np.min_scalar_type(len(number)))[tags.indices.to_numpy()]
        ends = np.cumsum(np.bincount(numbers, minlength=len(number)))
        by_number = owners[np.argsort(numbers, kind="stable")]
        return dict(zip(number, np.split(by_number, ends[:-1]), strict=True)) if number else {}

    def position(self, dataset_id: int) -> int | None:
        """Return the position of a dataset, None if it is not in the catalogue."""
        ids, first, last = self._places
        # The ids are ascending and distinct: if none is missing, this is the position.
        low, high = dataset_id - last, dataset_id - first
        if high < 0 or low >= len(ids):
            return None
        at = low if low == high else bisect_left(ids, dataset_id, max(low, 0), min(high, len(ids) - 1))
        return at if ids[at] == dataset_id else None

    def external_id(self, dataset_id: int) -> str | None:
        """Return the text of a dataset's id, None if the id is a number."""
        if self.external_ids is None or (position := self.position(dataset_id)) is None:
            return None
        return self.external_ids[position]

    def positions(self, dataset_ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the positions of many datasets, -1 for those that are not in the catalogue."""
        if not len(self.ids):
            return np.full(len(dataset_ids), -1, np.int32)
        slots = np.minimum(np.searchsorted(self.ids, dataset_ids), len(self.ids) - 1)
        return np.where(self.ids[slots] == dataset_ids, slots, -1).astype(np.int32)

    def tagged(self, tag: str) -> NDArray[np.int32]:
        """Return the ascending positions of the datasets with a tag, whatever its case."""
        return self._by_tag.get(tag.casefold(), np.empty(0, np.int32))

    def only(self, positions: NDArray[np.int64]) -> "Catalogue":
        """Return the catalogue of some datasets, given by their ascending positions in this one."""
        return Catalogue(
            self.ids[positions],
            [self.titles[position] for position in positions],
            self.prices[positions],
            [self.cover_images[position] for position in positions],
            [self.tags[position] for position in positions],
            [self.providers[position] for position in positions],
            None if self.external_ids is None else [self.external_ids[position] for position in positions],
        )

    def save(self, path: Path) -> None:
        """Write the catalogue as Parquet, with a column `external_id` if a dataset has one."""
        columns: list[object] = [
            self.ids,
            list(self.titles),
            self.prices,
            list(self.cover_images),
            [list(tags) for tags in self.tags],
            list(self.providers),
        ]
        schema = _SCHEMA
        if self.external_ids is not None and any(text is not None for text in self.external_ids):
            schema = schema.append(_EXTERNAL_ID)
            columns.append(list(self.external_ids))
        pq.write_table(pa.table(columns, schema=schema), path)

    @classmethod
    def load(cls, path: Path) -> "Catalogue":
        """Read a catalogue that `save` wrote.

        Raises `pyarrow.ArrowException`, `KeyError` or `MalformedCatalogueError`.
        """
        metadata = pq.read_metadata(path)
        _check_metadata(metadata)
        has_external_ids = _EXTERNAL_ID.name in metadata.schema.to_arrow_schema().names
        table = pq.read_table(path, schema=_SCHEMA.append(_EXTERNAL_ID) if has_external_ids else _SCHEMA)
        # Among others that texts are UTF-8: they are decoded much later, in an answer.
        table.validate(full=True)
        for name in ("title", "price", "tags"):
            if table[name].null_count:
                raise MalformedCatalogueError(f"{name} is missing in {table[name].null_count} rows")
        return cls(
            table["dataset_id"].to_numpy(),
            Column(table["title"].combine_chunks()),
            table["price"].to_numpy(),
            Column(table["cover_image"].combine_chunks()),
            Column(table["tags"].combine_chunks()),
            Column(table["provider"].combine_chunks()),
            Column(table[_EXTERNAL_ID.name].combine_chunks()) if has_external_ids else None,
        )


def _check_metadata(metadata: pq.FileMetaData) -> None:
    """Check what the footer declares, before any of it is allocated."""
    groups = [metadata.row_group(number) for number in range(min(metadata.num_row_groups, MAX_ROW_GROUPS + 1))]
    declared = sum(max(group.total_byte_size, 0) for group in groups)
    if len(groups) > MAX_ROW_GROUPS or not 0 <= metadata.num_rows <= MAX_DATASETS or declared > MAX_CATALOGUE_BYTES:
        raise MalformedCatalogueError(
            f"declares {metadata.num_rows} datasets in {metadata.num_row_groups} row groups of {declared} bytes; the "
            f"maximum is {MAX_DATASETS} in {MAX_ROW_GROUPS} of {MAX_CATALOGUE_BYTES}"
        )
