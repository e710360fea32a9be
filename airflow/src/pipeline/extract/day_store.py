"""The store of day partitions: what earlier extractions have read, at ARTIFACT_URL/extracted.

A partition is one Parquet file, named by its day and a checksum of its content. `index.json` names the partitions that
count, and is written last: a killed extraction leaves the previous index and its files.
"""

import hashlib
import io
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AwareDatetime, BaseModel, ValidationError

from pipeline.artifacts import file_names, join, read_file, remove_file, write_file

INDEX = "index.json"
_HASH_CHARS = 16


class Partition(BaseModel):
    """One day: its file, and the number and checksum of its rows as the database had them."""

    file: str
    rows: int
    checksum: str


class Index(BaseModel):
    """The partitions, by day.

    `source` is a checksum of what they were read from. All days before `settled_until` are partitions, except for the
    `unsettled` ones, which are read each time. `compared_at` is when all days were last compared with the database, and
    `removals` the number of removals then.
    """

    source: str
    settled_until: date
    compared_at: AwareDatetime
    removals: int = 0
    days: dict[str, Partition] = {}
    unsettled: list[str] = []


class DayStore:
    """The partitions of one table at an address."""

    def __init__(self, address: str) -> None:
        self._address = address

    def load_index(self, source: str) -> Index | None:
        """Return the index, None if there is none of this source or it is unreadable: then everything is read anew."""
        data = read_file(join(self._address, INDEX))
        try:
            index = None if data is None else Index.model_validate_json(data)
        except ValidationError:
            return None
        return index if index is not None and index.source == source else None

    def missing_days(self, index: Index) -> set[str]:
        """Return the days whose file is not there any more."""
        there = set(file_names(self._address))
        return {day for day, partition in index.days.items() if partition.file not in there}

    def load_partition(self, partition: Partition) -> pa.Table | None:
        """Return the rows of a day, None if the file is damaged, or another run has removed it meanwhile."""
        data = read_file(join(self._address, partition.file))
        if data is None or _hash(data) != partition.file.removesuffix(".parquet").rpartition("-")[2]:
            return None
        return pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)

    def write_partition(self, day: str, rows: pa.Table) -> str:
        """Write the rows of a day, and return the name of the file; it counts once the index names it."""
        stream = io.BytesIO()
        pq.write_table(rows, stream)
        data = stream.getvalue()
        name = f"{day}-{_hash(data)}.parquet"
        write_file(join(self._address, name), data)
        return name

    def commit(self, index: Index) -> None:
        """Write the index, and remove the files that it doesn't name."""
        write_file(join(self._address, INDEX), index.model_dump_json(indent=1).encode())
        named = {partition.file for partition in index.days.values()}
        for name in file_names(self._address):
            if name.endswith(".parquet") and name not in named:
                remove_file(join(self._address, name))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_HASH_CHARS]
