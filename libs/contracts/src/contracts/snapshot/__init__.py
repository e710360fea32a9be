"""The feature snapshot: Parquet files of packed user state and a manifest, moved into Redis by feature-sync."""

from contracts.snapshot.files import (
    MANIFEST,
    MalformedSnapshotError,
    iter_changes,
    iter_users,
    parse_manifest,
    read_manifest,
    write_snapshot,
)
from contracts.snapshot.increments import UnsortedUsersError, add_increment, can_be_base
from contracts.snapshot.manifest import SnapshotIncrement, SnapshotManifest, content_name

__all__ = [
    "MANIFEST",
    "MalformedSnapshotError",
    "SnapshotIncrement",
    "SnapshotManifest",
    "UnsortedUsersError",
    "add_increment",
    "can_be_base",
    "content_name",
    "iter_changes",
    "iter_users",
    "parse_manifest",
    "read_manifest",
    "write_snapshot",
]
