"""The user's own vectors of datasets, from the Parquet file that DATASET_VECTORS names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.ids import UnusableIdError, parse_id
from pipeline.errors import InputError
from pipeline.recall.svd import unit_rows
from ranking.catalogue import Catalogue

MAX_DIMENSION = 4096
_ID, _VECTOR = "dataset_id", "vector"


@dataclass(frozen=True)
class OwnVectors:
    """`rows` float32 [n, d] of unit length, zeros for the `missing` datasets; `unknown` vectors are of no dataset."""

    rows: NDArray[np.float32]
    unknown: int

    @property
    def missing(self) -> int:
        """How many datasets have no vector, or one of zeros."""
        return int((~self.rows.any(axis=1)).sum())

    def counts(self) -> tuple[str, str, str]:
        """Return how many datasets have a vector, how many have none, and how many vectors are unknown."""
        have = len(self.rows) - self.missing
        return f"{have:,}", f"{self.missing:,}", f"{self.unknown:,}"


def read_own_vectors(path: Path, catalogue: Catalogue) -> OwnVectors:
    """Read the columns `dataset_id` and `vector`, and lay the vectors in the catalogue's order; raises `InputError`."""
    table = _read(path)
    ids = _ids(path, table[_ID].combine_chunks())
    vectors = _vectors(path, table[_VECTOR].combine_chunks())
    known = np.isin(ids, catalogue.ids)
    rows = np.zeros((len(catalogue), vectors.shape[1]), np.float32)
    rows[catalogue.positions(ids[known])] = vectors[known]
    return OwnVectors(rows, int((~known).sum()))


def _read(path: Path) -> pa.Table:
    try:
        schema = pq.read_schema(path)
        absent = [name for name in (_ID, _VECTOR) if name not in schema.names]
        if absent:
            raise _problem(path, f"no column {' and '.join(absent)}; there are {', '.join(schema.names)}")
        return pq.read_table(path, columns=[_ID, _VECTOR])
    except pa.ArrowException as error:
        raise _problem(path, f"this is no Parquet file: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise _problem(path, f"cannot be read: {error.strerror or error}") from error


def _ids(path: Path, column: pa.Array) -> NDArray[np.int64]:
    found = np.empty(len(column), np.int64)
    first: dict[int, int] = {}
    for row, value in enumerate(column.to_pylist()):
        try:
            number = parse_id(value, "dataset")
        except UnusableIdError as error:
            raise _problem(path, f"row {row + 1}: {_ID}: {error}") from error
        if (other := first.setdefault(number, row)) != row:
            raise _problem(path, f"row {row + 1}: {_ID} {value!r} stands in row {other + 1}, too")
        found[row] = number
    return found


def _vectors(path: Path, column: pa.Array) -> NDArray[np.float32]:
    """Return unit rows float32 [rows, d]; zeros stay zeros."""
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_floating(kind.value_type):
        raise _problem(path, f"{_VECTOR} is of type {kind}; write a list of float")
    if not len(column):
        raise _problem(path, "no rows")
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    dimension = int(lengths[0])
    if not 1 <= dimension <= MAX_DIMENSION:
        raise _problem(path, f"row 1: {_VECTOR} has {dimension} numbers; 1 to {MAX_DIMENSION} are possible")
    other = np.flatnonzero(lengths != dimension)
    if len(other):
        raise _problem(path, f"row {other[0] + 1}: {_VECTOR} has {lengths[other[0]]} numbers, row 1 has {dimension}")
    values = np.asarray(column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False))
    rows = values.reshape(len(column), dimension)
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise _problem(path, f"row {broken[0] + 1}: {_VECTOR} has a number that is missing or not finite")
    # Only the direction counts, and the square of a large number would overflow.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return unit_rows((rows / np.where(largest > 0, largest, 1.0)).astype(np.float32))


def _problem(path: Path, problem: str) -> InputError:
    return InputError(f"DATASET_VECTORS: {path}: {problem}")
