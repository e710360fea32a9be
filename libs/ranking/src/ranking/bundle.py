"""The files of a model bundle except its manifest, and how they are written and read.

items.parquet            catalogue                     item_rows.npy      float32 [n, item features of the ranker]
content.npy              float32 [n, d]                provider.npy       int32 [n]
{behavior,content,vector,transition}_items.npy / _scores.npy      neighbours [n, k]
{popular,popular_30d}_items.npy / _scores.npy          static popular [p]
precomputed_items.npy / precomputed_scores.npy         [n, k], -1 pads: /similar without a user, in the order of choice
trending.json            {"1h": [positions], "24h": [positions]}
recall.json              RecallSettings                ranker.txt         LightGBM text
diversity.json           DiversitySettings; may be missing
own_columns.json         OwnColumns; only if there are any    own_columns.npy    float32 [n, own columns of datasets]
golden.json              requests with the answers that this bundle must give
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from contracts.bundle.files import MAX_BYTES
from contracts.features import ITEM_FEATURES
from ranking.catalogue import Catalogue, MalformedCatalogueError
from ranking.diversity import NO_DIVERSITY, DiversitySettings
from ranking.features import ItemTable, item_table, log_prices
from ranking.golden import MAX_GOLDEN, GoldenRequest
from ranking.npy import NpyError, read_array
from ranking.own_columns import NO_COLUMNS, OwnColumns
from ranking.ranker import feature_names
from ranking.recall import NO_POPULAR, Neighbours, Popular, RecallSettings, RecallTables, no_neighbours

_DIVERSITY = "diversity.json"
OWN_COLUMNS = "own_columns.json"
_ITEM_COLUMN = {feature.name: column for column, feature in enumerate(ITEM_FEATURES)}
_GOLDEN = TypeAdapter(Annotated[list[GoldenRequest], Field(max_length=MAX_GOLDEN)])
_TRENDING = TypeAdapter(dict[str, list[int]])


class UnusableBundleError(ValueError):
    """A file of the bundle is missing, unreadable or of the wrong shape; the message names it."""


@dataclass(frozen=True)
class BundleContents:
    """A bundle in memory.

    A bundle without precomputed lists still ranks: `precomputed` is then empty, and `precomputed_error` says why.
    """

    catalogue: Catalogue
    item_rows: NDArray[np.float32]
    table: ItemTable
    recall: RecallTables
    recall_settings: RecallSettings
    ranker_text: str
    precomputed: Neighbours
    trending: dict[str, list[int]]
    golden: list[GoldenRequest]
    precomputed_error: UnusableBundleError | None = None
    diversity: DiversitySettings = NO_DIVERSITY
    own: OwnColumns = NO_COLUMNS


def save(contents: BundleContents, folder: Path) -> None:
    """Write everything except the manifest below `folder`."""
    contents.catalogue.save(folder / "items.parquet")
    arrays = {
        # Row by row, as every release writes and reads them: a choice of columns would lie column by column.
        "item_rows": np.ascontiguousarray(contents.item_rows[:, _item_columns(contents.ranker_text)]),
        "content": contents.table.content,
        "provider": contents.table.provider,
        "popular_items": contents.recall.popular.items,
        "popular_scores": contents.recall.popular.scores,
        "popular_30d_items": contents.recall.popular_30d.items,
        "popular_30d_scores": contents.recall.popular_30d.scores,
    }
    for name in ("behavior", "content", "vector", "transition"):
        neighbours: Neighbours = getattr(contents.recall, name)
        arrays |= {f"{name}_items": neighbours.items, f"{name}_scores": neighbours.scores}
    arrays |= {"precomputed_items": contents.precomputed.items, "precomputed_scores": contents.precomputed.scores}
    if contents.own != NO_COLUMNS:
        arrays["own_columns"] = np.ascontiguousarray(contents.table.own)
        (folder / OWN_COLUMNS).write_text(contents.own.model_dump_json(indent=2), encoding="utf-8")
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    (folder / "ranker.txt").write_text(contents.ranker_text, encoding="utf-8")
    (folder / "recall.json").write_text(contents.recall_settings.model_dump_json(indent=2), encoding="utf-8")
    (folder / _DIVERSITY).write_text(contents.diversity.model_dump_json(indent=2), encoding="utf-8")
    (folder / "trending.json").write_text(json.dumps(contents.trending), encoding="utf-8")
    (folder / "golden.json").write_bytes(_GOLDEN.dump_json(contents.golden, indent=2))


def load(folder: Path) -> BundleContents:
    """Read a bundle whose checksums are valid; raises `UnusableBundleError`, which names the file."""
    catalogue = _catalogue(folder)
    n = len(catalogue)
    ranker_text = _text(folder, "ranker.txt")
    if not feature_names(ranker_text):
        raise UnusableBundleError("ranker.txt: not a LightGBM model")
    settings = _json(folder, "recall.json", TypeAdapter(RecallSettings))
    own = _json(folder, OWN_COLUMNS, TypeAdapter(OwnColumns)) if (folder / OWN_COLUMNS).exists() else NO_COLUMNS
    precomputed, precomputed_error = _precomputed(folder, n)
    return BundleContents(
        catalogue,
        _item_rows(folder, n, _item_columns(ranker_text)),
        item_table(
            _array(folder, "content", np.float32, (n, -1)),
            _array(folder, "provider", np.int32, (n,)),
            log_prices(catalogue.prices),
            own,
            None if own == NO_COLUMNS else _array(folder, "own_columns", np.float32, (n, len(own.datasets))),
        ),
        RecallTables(
            _neighbours(folder, "behavior", n),
            _neighbours(folder, "content", n),
            _neighbours(folder, "vector", n),
            # A bundle of an earlier release has neither of these channels.
            _neighbours(folder, "transition", n) if "transition" in settings.channel_sizes else no_neighbours(n),
            _popular(folder, "popular", n),
            _popular(folder, "popular_30d", n) if "popular_30d" in settings.channel_sizes else NO_POPULAR,
        ),
        settings,
        ranker_text,
        precomputed,
        _trending(folder, n),
        _json(folder, "golden.json", _GOLDEN),
        precomputed_error,
        _json(folder, _DIVERSITY, TypeAdapter(DiversitySettings)) if (folder / _DIVERSITY).exists() else NO_DIVERSITY,
        own,
    )


def _catalogue(folder: Path) -> Catalogue:
    try:
        catalogue = Catalogue.load(folder / "items.parquet")
    except (OSError, pa.ArrowException, KeyError, MalformedCatalogueError) as error:
        raise UnusableBundleError(f"items.parquet: {error}") from error
    before, after = catalogue.ids[:-1], catalogue.ids[1:]
    out_of_order = np.flatnonzero(~(before < after))
    if len(out_of_order):
        first = out_of_order[0]
        raise UnusableBundleError(
            f"items.parquet: dataset_id {before[first]} is followed by {after[first]}: they must ascend"
        )
    return catalogue


def _item_columns(ranker_text: str) -> list[int]:
    """Return which of `ITEM_FEATURES` the ranker names, in its order: one of an earlier release has fewer."""
    return [_ITEM_COLUMN[name] for name in feature_names(ranker_text) if name in _ITEM_COLUMN]


def _item_rows(folder: Path, n: int, columns: list[int]) -> NDArray[np.float32]:
    """Read the ranker's columns into [n, len(ITEM_FEATURES)]; the others are 0, and no tree uses them."""
    rows = np.zeros((n, len(ITEM_FEATURES)), np.float32)
    rows[:, columns] = _array(folder, "item_rows", np.float32, (n, len(columns)))
    return rows


def _neighbours(folder: Path, name: str, n: int) -> Neighbours:
    items = _positions(folder, f"{name}_items", (n, -1), n, least=-1)
    return Neighbours(items, _array(folder, f"{name}_scores", np.float32, items.shape))


def _popular(folder: Path, name: str, n: int) -> Popular:
    items = _positions(folder, f"{name}_items", (-1,), n, least=0)
    return Popular(items, _array(folder, f"{name}_scores", np.float32, items.shape))


def _precomputed(folder: Path, n: int) -> tuple[Neighbours, UnusableBundleError | None]:
    try:
        return _neighbours(folder, "precomputed", n), None
    except UnusableBundleError as error:
        return Neighbours(np.empty((n, 0), np.int32), np.empty((n, 0), np.float32)), error


def _positions(folder: Path, name: str, shape: tuple[int, ...], n: int, *, least: int) -> NDArray[np.int32]:
    """Read catalogue positions, `least` … n - 1; compiled loops don't check bounds, so others would corrupt memory."""
    array = _array(folder, name, np.int32, shape)
    for found in (array.min(initial=least), array.max(initial=least)):
        if not least <= found < max(n, 1):
            raise UnusableBundleError(f"{name}.npy: position {found} in a catalogue of {n}")
    return array


def _trending(folder: Path, n: int) -> dict[str, list[int]]:
    trending = _json(folder, "trending.json", _TRENDING)
    for name, positions in trending.items():
        for position in positions:
            if not 0 <= position < n:
                raise UnusableBundleError(f"trending.json: {name}: position {position} in a catalogue of {n}")
    return trending


def _array(folder: Path, name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    try:
        array = read_array(path)
    except (OSError, NpyError) as error:
        raise UnusableBundleError(f"{path.name}: {error}") from error
    fits = len(array.shape) == len(shape) and all(
        want in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise UnusableBundleError(f"{path.name}: {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}")
    return array


def _text(folder: Path, name: str) -> str:
    try:
        path = folder / name
        if path.stat().st_size > MAX_BYTES[name]:
            raise UnusableBundleError(f"{name}: larger than {MAX_BYTES[name]} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableBundleError(f"{name}: {error}") from error


_T = TypeVar("_T")


def _json(folder: Path, name: str, schema: TypeAdapter[_T]) -> _T:
    try:
        return schema.validate_json(_text(folder, name))
    except ValidationError as error:
        first = error.errors()[0]
        raise UnusableBundleError(f"{name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
