"""The files that a bundle may hold, and how large each may be."""

from contracts.bundle.manifest import MANIFEST, MAX_MANIFEST_BYTES

MAX_UNPACKED_BYTES = 8 * 2**30
MAX_JSON_BYTES = 16 * 2**20
MAX_RANKER_BYTES = 256 * 2**20

_TABLES = ("behavior", "content", "vector", "transition", "popular", "popular_30d", "precomputed")
_ARRAYS = (
    "item_rows",
    "content",
    "provider",
    "own_columns",
    *(f"{table}_{part}" for table in _TABLES for part in ("items", "scores")),
)

# Every name with its maximum size in bytes. A file of a later release is rejected: receivers are upgraded first.
MAX_BYTES = {
    MANIFEST: MAX_MANIFEST_BYTES,
    **dict.fromkeys(
        ("diversity.json", "golden.json", "own_columns.json", "recall.json", "trending.json"), MAX_JSON_BYTES
    ),
    "ranker.txt": MAX_RANKER_BYTES,
    "items.parquet": MAX_UNPACKED_BYTES,
    **dict.fromkeys((f"{name}.npy" for name in _ARRAYS), MAX_UNPACKED_BYTES),
}
