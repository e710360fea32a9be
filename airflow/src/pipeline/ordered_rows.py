"""The clean interactions as arrays in the order of time: made once by the quality step, mapped by all later ones."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import dtype_to_descr, write_array_header_1_0
from numpy.typing import DTypeLike, NDArray

from contracts.events import InteractionType
from pipeline.arrays import load_array, save_arrays
from pipeline.errors import EarlierReleaseError, EngineError
from pipeline.relational import Engine

_USER_IDS = """
SELECT id FROM users UNION SELECT user_id FROM interactions WHERE type <> 'exposure' ORDER BY id
"""
_COUNT = "SELECT count(*) AS number FROM interactions WHERE type <> 'exposure'"
# Exposures have no code: they would push interest out of histories.
_ROWS = """
SELECT user_places.place AS user_place, dataset_places.place AS item, unix_seconds(ts) AS seconds, code
FROM interactions
JOIN user_places ON user_places.id = interactions.user_id
JOIN dataset_places ON dataset_places.id = interactions.dataset_id
JOIN codes ON codes.name = interactions.type
ORDER BY seconds, user_place, item, code
"""
_TYPES: Mapping[str, DTypeLike] = {"user": np.int32, "item": np.int32, "ts": np.int64, "types": np.uint8}
_CODES = pa.table(
    {
        "name": [kind.name.lower() for kind in InteractionType if kind != InteractionType.EXPOSURE],
        "code": pa.array([int(kind) for kind in InteractionType if kind != InteractionType.EXPOSURE], pa.int32()),
    }
)


class OrderedRows(NamedTuple):
    """`user_ids` int64 [u] ascending; of each interaction but exposures, in ascending time, the arrays of `Records`."""

    user_ids: NDArray[np.int64]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    ts: NDArray[np.int64]
    types: NDArray[np.uint8]


def write_ordered_rows(engine: Engine, folder: Path) -> None:
    """Write the arrays beside the three clean tables; rows of one second are in the order of user, item and type."""
    interactions = folder / "interactions.parquet"
    users = _column(engine, _USER_IDS, {"users": folder / "users.parquet", "interactions": interactions})
    datasets = np.sort(pq.read_table(folder / "datasets.parquet", columns=["id"])["id"].to_numpy())
    tables = {
        "interactions": interactions,
        "user_places": _places(users),
        "dataset_places": _places(datasets),
        "codes": _CODES,
    }
    count = int(_column(engine, _COUNT, {"interactions": interactions})[0])
    save_arrays(folder, user_ids=users)
    done = 0
    with ExitStack() as opened:
        files = [
            opened.enter_context(_array_file(folder / f"{name}.npy", type_, count)) for name, type_ in _TYPES.items()
        ]
        for batch in engine.query(_ROWS, tables):
            for file, type_, column in zip(files, _TYPES.values(), batch.columns, strict=True):
                file.write(column.to_numpy().astype(type_, copy=False))
            done += len(batch)
    if done != count:
        raise EngineError(f"the engine has ordered {done:,} of {count:,} interactions; repeat the step `quality`")


def load_ordered_rows(folder: Path) -> OrderedRows:
    """Map the arrays; raises `EarlierReleaseError` if there are none."""
    if not (folder / "user_ids.npy").is_file():
        raise EarlierReleaseError(f"{folder}: made by an earlier release; repeat the step `quality`")
    return OrderedRows(load_array(folder, "user_ids"), *(_mapped(folder / f"{name}.npy") for name in _TYPES))


def _array_file(path: Path, type_: DTypeLike, count: int) -> BinaryIO:
    """Open an `.npy` file after its header. Rows are appended: on a full disk a mapped file ends the process."""
    file = path.open("wb")
    header = {"descr": dtype_to_descr(np.dtype(type_)), "fortran_order": False, "shape": (count,)}
    write_array_header_1_0(file, header)
    return file


def _column(engine: Engine, sql: str, tables: Mapping[str, Path]) -> NDArray[np.int64]:
    parts = [batch.column(0).to_numpy() for batch in engine.query(sql, tables)]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _places(ids: NDArray[np.int64]) -> pa.Table:
    return pa.table({"id": ids, "place": np.arange(len(ids), dtype=np.int32)})


def _mapped(path: Path) -> NDArray[Any]:
    # Writable in memory, though not in the file: compiled loops would be compiled once more for read-only arrays.
    mapped: NDArray[Any] = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    return mapped
