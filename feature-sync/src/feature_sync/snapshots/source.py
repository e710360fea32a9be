"""Fetches a snapshot and checks it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.artifact_store import locate, store_errors
from contracts.checksums import ChecksumError
from contracts.snapshot import MANIFEST, MalformedSnapshotError, SnapshotManifest, read_manifest
from feature_sync.errors import UnusableSnapshotError


@contextmanager
def fetch_snapshot(address: str) -> Iterator[tuple[Path, SnapshotManifest]]:
    """Copy a snapshot folder (path or fsspec URL) to a local one for a block; raises `UnusableSnapshotError`."""
    with tempfile.TemporaryDirectory(prefix="snapshot-") as temporary:
        folder = Path(temporary, "snapshot")
        try:
            _download(address, folder)
            manifest = read_manifest(folder)
        except (MalformedSnapshotError, ChecksumError, OSError, ValueError) as error:
            raise UnusableSnapshotError(f"{address}: {error}") from error
        yield folder, manifest


@store_errors()
def _download(address: str, folder: Path) -> None:
    files, path = locate(address)
    if not files.exists(path):
        raise UnusableSnapshotError(f"{address}: there is no such folder")
    # Before anything is copied: a caller may name a home folder, or the root.
    if not files.exists(f"{path.rstrip('/')}/{MANIFEST}"):
        raise UnusableSnapshotError(f"{address}: {MANIFEST}: missing")
    files.get(path.rstrip("/") + "/", str(folder) + "/", recursive=True)
