"""The feature snapshot: Parquet files of packed user state and a manifest, moved into Redis by feature-sync."""

from contracts.snapshot.files import (
    MANIFEST,
    MalformedSnapshotError,
    content_name,
    iter_users,
    read_manifest,
    write_snapshot,
)
from contracts.snapshot.manifest import SnapshotManifest

__all__ = [
    "MANIFEST",
    "MalformedSnapshotError",
    "SnapshotManifest",
    "content_name",
    "iter_users",
    "read_manifest",
    "write_snapshot",
]
