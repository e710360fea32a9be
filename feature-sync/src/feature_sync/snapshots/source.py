"""Fetches a snapshot and checks it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.artifact_store import locate, store_errors
from contracts.checksums import ChecksumError
from contracts.snapshot import MANIFEST, MalformedSnapshotError, SnapshotManifest, iter_users, read_manifest
from feature_sync.errors import UnusableSnapshotError
from feature_sync.snapshots.room import SnapshotSize


@dataclass(frozen=True)
class FetchedSnapshot:
    """A snapshot on this machine's disk, all of whose rows can be read."""

    folder: Path
    manifest: SnapshotManifest
    size: SnapshotSize

    def batches(self) -> Iterator[list[tuple[int, bytes]]]:
        """Yield the users in batches of (id, packed `UserBlob`)."""
        return iter_users(self.folder, self.manifest)


@contextmanager
def fetch_snapshot(address: str) -> Iterator[FetchedSnapshot]:
    """Copy a snapshot folder (path or fsspec URL) to a local one for a block.

    Raises `UnusableSnapshotError` or `MalformedSnapshotError`.
    """
    with tempfile.TemporaryDirectory(prefix="snapshot-") as temporary:
        folder = Path(temporary, "snapshot")
        try:
            _download(address, folder)
            manifest = read_manifest(folder)
        except (MalformedSnapshotError, ChecksumError, OSError, ValueError) as error:
            raise UnusableSnapshotError(f"{address}: {error}") from error
        yield FetchedSnapshot(folder, manifest, _measure(folder, manifest))


def _measure(folder: Path, manifest: SnapshotManifest) -> SnapshotSize:
    """Read all rows, so that nothing is written to Redis of a snapshot that turns out to be malformed."""
    users = blob_bytes = 0
    for batch in iter_users(folder, manifest):
        users += len(batch)
        blob_bytes += sum(len(blob) for _, blob in batch)
    if users != manifest.rows:
        raise MalformedSnapshotError(f"{MANIFEST}: rows: {manifest.rows}, but the files have {users}")
    return SnapshotSize(users, blob_bytes)


def _download(address: str, folder: Path) -> None:
    try:
        with store_errors():
            _copy(address, folder)
    except (UnusableSnapshotError, OSError, ValueError):
        raise
    except Exception as error:
        # The address chooses the driver of fsspec, and each has errors of its own.
        raise UnusableSnapshotError(f"{address}: {str(error) or type(error).__name__}") from error


def _copy(address: str, folder: Path) -> None:
    files, path = locate(address)
    if not files.exists(path):
        raise UnusableSnapshotError(f"{address}: there is no such folder")
    # Before anything is copied: a caller may name a home folder, or the root.
    if not files.exists(f"{path.rstrip('/')}/{MANIFEST}"):
        raise UnusableSnapshotError(f"{address}: {MANIFEST}: missing")
    files.get(path.rstrip("/") + "/", str(folder) + "/", recursive=True)
