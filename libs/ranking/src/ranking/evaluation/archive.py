"""Writes an evaluation part as one small zip file, and reads an untrusted one safely.

manifest.json    `PartManifest`                      ranker.txt    LightGBM text of the twin
own_columns.json `OwnColumns` of the twin; only if there are any, and then with a column `own`
<name>.bin       columns of little-endian numbers, in planes: all lowest bytes first, which compresses better

Content and neighbours' scores are stored as float16. Every twin is scored in this form, so that none is at an
advantage. The same part gives the same bytes.
"""

import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from contracts.events import InteractionType
from contracts.features import FEATURE_SCHEMA, USER_FEATURES
from ranking.evaluation.models import RankingModel
from ranking.evaluation.part import MAX_HISTORY, EvaluationPart, HeldOutQueries, ItemData, PartManifest
from ranking.item_stats import HALF_LIVES_DAYS, StatsState
from ranking.own_columns import NO_COLUMNS, OwnColumns
from ranking.recall import Neighbours, RecallTables
from ranking.replay import Kind

MAX_UNPACKED_BYTES = 128 * 2**20
# Scoring takes as long as the rows are wide. Pipelines make contents of 64 numbers and tables of 100 neighbours.
MAX_CONTENT_WIDTH, MAX_NEIGHBOURS = 256, 400
_MANIFEST, _RANKER, _OWN_COLUMNS = "manifest.json", "ranker.txt", "own_columns.json"
# Those of a damaged or hostile zip file.
_UNREADABLE = (
    zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip


class UnusablePartError(ValueError):
    """The file isn't an evaluation part, is damaged, or is of another release; the message names file and entry."""


def write_part(part: EvaluationPart, path: Path) -> int:
    """Write a part and return its size in bytes."""
    entries = {_MANIFEST: part.manifest.model_dump_json(indent=1).encode(), _RANKER: part.twin.ranker_text.encode()}
    entries |= {f"{name}.bin": _planes(array) for name, array in _columns(part).items()}
    if part.twin.own != NO_COLUMNS:
        entries[_OWN_COLUMNS] = part.twin.own.model_dump_json(indent=1).encode()
        entries["own.bin"] = _planes(part.twin.own_rows.astype("<f4"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in entries.items():
            # A fixed time (1980), so that the same part gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path.stat().st_size


def read_part(path: Path) -> EvaluationPart:
    """Read a part; raises `UnusablePartError`."""
    entries = _read_entries(path)
    manifest = _manifest(path, entries)
    columns = _Columns(path, entries)
    n, q = manifest.datasets, manifest.queries
    own = _own_columns(path, entries)
    own_rows = np.empty((n, len(own.datasets)), np.float32)
    if own != NO_COLUMNS:
        own_rows[:] = columns.read("own", "<f4", own_rows.size).reshape(own_rows.shape)
    ids = columns.read("ids", "<i8", n)
    if not (ids[:-1] < ids[1:]).all():
        raise columns.unusable("ids", "they must ascend")
    twin = RankingModel(
        ids,
        columns.read_rows("content", "<f2", n, MAX_CONTENT_WIDTH),
        RecallTables(
            columns.read_neighbours("behavior", n),
            columns.read_neighbours("near", n),
            columns.read_neighbours("vector", n),
            columns.read_neighbours("transition", n),
        ),
        manifest.recall,
        manifest.diversity,
        _text(path, entries, _RANKER),
        int(manifest.trained_until.timestamp()),
        own,
        own_rows,
    )
    width = len(USER_FEATURES) + len(own.users)
    return EvaluationPart(manifest, twin, _items(columns, manifest, n), _queries(columns, manifest, q, width))


def _items(columns: "_Columns", manifest: PartManifest, n: int) -> ItemData:
    gaps = columns.read("activity_gaps", "<u4")
    state = StatsState(
        manifest.origin,
        columns.read("scaled", "<f8", n * len(HALF_LIVES_DAYS)).reshape(n, -1),
        columns.read("counts", "<f8", n),
        columns.read("purchases", "<f8", n),
        columns.read("last", "<f8", n),
    )
    return ItemData(
        columns.read("created_at", "<i8", n),
        columns.read("prices", "<f8", n),
        columns.read("provider", "<i4", n),
        state,
        columns.read("activity", "<i4", len(gaps), below=n),
        int(manifest.cut.timestamp()) + np.cumsum(gaps, dtype=np.int64),
        columns.read("activity_types", "|u1", len(gaps), below=len(InteractionType)),
    )


def _queries(columns: "_Columns", manifest: PartManifest, q: int, width: int) -> HeldOutQueries:
    n = manifest.datasets
    counts = columns.read("history_counts", "|u1", q, below=MAX_HISTORY + 1).astype(np.int64)
    hidden_counts = columns.read("hidden_counts", "<u4", q).astype(np.int64)
    entries = int(counts.sum())
    answer = columns.read("answer", "<i4", q, below=n)
    hidden = columns.read("hidden", "<i4", int(hidden_counts.sum()), below=n)
    if (np.repeat(answer, hidden_counts) == hidden).any():
        raise columns.unusable("hidden", "the answer of a query is hidden, so that no model can find it")
    return HeldOutQueries(
        int(manifest.cut.timestamp()) + np.cumsum(columns.read("query_gaps", "<u4", q), dtype=np.int64),
        columns.read("user", "<i4", q, below=q),
        columns.read("kinds", "|u1", q, below=len(Kind)),
        columns.read("features", "<f4", q * width).reshape(q, -1),
        answer,
        counts,
        columns.read("history", "<i4", entries, below=n),
        columns.read("ages", "<u4", entries).astype(np.int64),
        columns.read("types", "|u1", entries, below=len(InteractionType)),
        hidden_counts,
        hidden,
    )


def _columns(part: EvaluationPart) -> dict[str, NDArray[Any]]:
    """Return all columns by name, in the types that `read_part` expects."""
    twin, items, queries, tables = part.twin, part.items, part.queries, part.twin.tables
    cut = int(part.manifest.cut.timestamp())
    columns: dict[str, tuple[NDArray[Any], str]] = {
        "ids": (twin.ids, "<i8"),
        "content": (twin.content, "<f2"),
        "created_at": (items.created_at, "<i8"),
        "prices": (items.prices, "<f8"),
        "provider": (items.provider, "<i4"),
        "scaled": (items.at_cut.scaled, "<f8"),
        "counts": (items.at_cut.counts, "<f8"),
        "purchases": (items.at_cut.purchases, "<f8"),
        "last": (items.at_cut.last, "<f8"),
        "activity": (items.item, "<i4"),
        "activity_gaps": (np.diff(items.ts, prepend=cut), "<u4"),
        "activity_types": (items.types, "|u1"),
        "query_gaps": (np.diff(queries.at, prepend=cut), "<u4"),
        "user": (queries.user, "<i4"),
        "kinds": (queries.kinds, "|u1"),
        "features": (queries.features, "<f4"),
        "answer": (queries.answer, "<i4"),
        "history_counts": (queries.history_counts, "|u1"),
        "history": (queries.history, "<i4"),
        "ages": (queries.ages, "<u4"),
        "types": (queries.types, "|u1"),
        "hidden_counts": (queries.hidden_counts, "<u4"),
        "hidden": (queries.hidden, "<i4"),
    }
    for name, table in (
        ("behavior", tables.behavior),
        ("near", tables.content),
        ("vector", tables.vector),
        ("transition", tables.transition),
    ):
        columns[f"{name}_items"] = (table.items, "<i4")
        columns[f"{name}_scores"] = (table.scores, "<f2")
    return {name: array.astype(dtype) for name, (array, dtype) in columns.items()}


def _planes(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()


class _Columns(NamedTuple):
    """The columns of an archive; compiled loops don't check bounds, so every position is checked here."""

    path: Path
    entries: dict[str, bytes]

    def read(self, name: str, dtype: str, length: int | None = None, *, below: int | None = None) -> NDArray[Any]:
        """Return the numbers of a column: `length` many, each 0 … `below` - 1."""
        array = self._numbers(name, dtype)
        if length is not None and len(array) != length:
            raise self.unusable(name, f"{len(array)} numbers, expected {length}")
        if below is not None and len(array) and not (array.min() >= 0 and array.max() < below):
            raise self.unusable(name, f"a number is not within 0 … {below - 1}")
        return array

    def read_rows(self, name: str, dtype: str, rows: int, max_width: int) -> NDArray[np.float32]:
        """Return float32 [rows, width], where the width is at most `max_width`."""
        array = self._numbers(name, dtype)
        if len(array) % rows:
            raise self.unusable(name, f"{len(array)} numbers don't make {rows} rows")
        if len(array) > rows * max_width:
            raise self.unusable(name, f"{len(array) // rows} numbers a row, at most {max_width} are allowed")
        return array.reshape(rows, -1).astype(np.float32)

    def read_neighbours(self, name: str, rows: int) -> Neighbours:
        """Return a table whose items are positions or the pad -1."""
        items = self._numbers(f"{name}_items", "<i4")
        scores = self.read_rows(f"{name}_scores", "<f2", rows, MAX_NEIGHBOURS)
        if len(items) != scores.size:
            raise self.unusable(f"{name}_items", f"{len(items)} numbers for {scores.size} scores")
        if len(items) and not (items.min() >= -1 and items.max() < rows):
            raise self.unusable(f"{name}_items", f"a position is not within -1 … {rows - 1}")
        return Neighbours(items.reshape(scores.shape), scores)

    def unusable(self, name: str, reason: str) -> UnusablePartError:
        """Return the error of a column."""
        return UnusablePartError(f"{self.path}: {name}.bin: {reason}")

    def _numbers(self, name: str, dtype: str) -> NDArray[Any]:
        kind = np.dtype(dtype)
        data = self.entries.get(f"{name}.bin")
        if data is None:
            raise self.unusable(name, "missing")
        if len(data) % kind.itemsize:
            raise self.unusable(name, f"{len(data)} bytes are no whole numbers")
        planes = np.frombuffer(data, np.uint8).reshape(kind.itemsize, -1)
        array: NDArray[Any] = np.ascontiguousarray(planes.T).reshape(-1).view(kind)
        if kind.kind == "f" and not np.isfinite(array).all():
            raise self.unusable(name, "a value is not a number")
        return array.astype(kind.newbyteorder("="))


def _read_entries(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            # An entry is not read past its size here, so that this bounds the memory.
            size = sum(info.file_size for info in infos)
            if size <= MAX_UNPACKED_BYTES:
                return {info.filename: archive.read(info) for info in infos}
    except FileNotFoundError:
        raise UnusablePartError(f"{path}: no such file") from None
    except _UNREADABLE as error:
        raise UnusablePartError(f"{path}: not a readable evaluation part: {error}") from error
    raise UnusablePartError(f"{path}: {size:,} bytes when unpacked, at most {MAX_UNPACKED_BYTES:,} are allowed")


def _manifest(path: Path, entries: dict[str, bytes]) -> PartManifest:
    if _MANIFEST not in entries:
        raise UnusablePartError(f"{path}: {_MANIFEST} is missing: not an evaluation part")
    try:
        manifest = PartManifest.model_validate_json(entries[_MANIFEST])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "document"
        raise UnusablePartError(f"{path}: {_MANIFEST}: {field}: {first['msg']}") from error
    if manifest.feature_schema != FEATURE_SCHEMA:
        raise UnusablePartError(
            f"{path}: {_MANIFEST}: feature_schema is {manifest.feature_schema}, this release has {FEATURE_SCHEMA}; "
            "make a new run"
        )
    return manifest


def _own_columns(path: Path, entries: dict[str, bytes]) -> OwnColumns:
    if _OWN_COLUMNS not in entries:
        return NO_COLUMNS
    try:
        return OwnColumns.model_validate_json(entries[_OWN_COLUMNS])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "document"
        raise UnusablePartError(f"{path}: {_OWN_COLUMNS}: {field}: {first['msg']}") from error


def _text(path: Path, entries: dict[str, bytes], name: str) -> str:
    try:
        return entries[name].decode()
    except KeyError:
        raise UnusablePartError(f"{path}: {name} is missing") from None
    except UnicodeDecodeError as error:
        raise UnusablePartError(f"{path}: {name}: {error}") from error
