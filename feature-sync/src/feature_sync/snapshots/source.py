"""Fetches a snapshot and checks it."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.artifact_store import locate, store_errors
from contracts.checksums import ChecksumError, verify_files
from contracts.snapshot import (
    MANIFEST,
    MalformedSnapshotError,
    SnapshotIncrement,
    SnapshotManifest,
    iter_changes,
    iter_users,
    parse_manifest,
    read_manifest,
)
from feature_sync.errors import UnusableSnapshotError
from feature_sync.snapshots.room import SnapshotSize

# Returns the versions in Redis that a snapshot's increment adds to; nothing if there are none.
FindBases = Callable[[SnapshotManifest], tuple[str, ...]]


@dataclass(frozen=True)
class FetchedSnapshot:
    """A snapshot on this machine's disk, all of whose rows can be read; with `bases` only those of its increment."""

    folder: Path
    manifest: SnapshotManifest
    size: SnapshotSize
    bases: tuple[str, ...] = ()

    def batches(self) -> Iterator[list[tuple[int, bytes]]]:
        """Yield the users to write in batches of (id, packed `UserBlob`); empty: the user was removed."""
        return _batches(self.folder, self.manifest, _increment(self.manifest, self.bases))


def _no_bases(_manifest: SnapshotManifest) -> tuple[str, ...]:
    return ()


@contextmanager
def fetch_snapshot(address: str, find_bases: FindBases = _no_bases) -> Iterator[FetchedSnapshot]:
    """Copy a snapshot folder (path or fsspec URL) to a local one for a block; of one with bases only the increment.

    Raises `UnusableSnapshotError` or `MalformedSnapshotError`.
    """
    with tempfile.TemporaryDirectory(prefix="snapshot-") as temporary:
        folder = Path(temporary, "snapshot")
        try:
            with _translate_errors(address):
                _copy_manifest(address, folder)
            manifest = parse_manifest(folder)
            bases = find_bases(manifest)
            increment = _increment(manifest, bases)
            with _translate_errors(address):
                _copy_users(address, folder, increment)
            _verify(folder, increment)
        except (MalformedSnapshotError, ChecksumError, OSError, ValueError) as error:
            raise UnusableSnapshotError(f"{address}: {error}") from error
        yield FetchedSnapshot(folder, manifest, _measure(folder, manifest, increment), bases)


def _increment(manifest: SnapshotManifest, bases: tuple[str, ...]) -> SnapshotIncrement | None:
    """Return the increment that is written to the bases; None: all users are written."""
    return manifest.increment if bases else None


def _batches(
    folder: Path, manifest: SnapshotManifest, increment: SnapshotIncrement | None
) -> Iterator[list[tuple[int, bytes]]]:
    return iter_users(folder, manifest) if increment is None else iter_changes(folder, increment)


def _measure(folder: Path, manifest: SnapshotManifest, increment: SnapshotIncrement | None) -> SnapshotSize:
    """Read all rows, so that nothing is written to Redis of a snapshot that turns out to be malformed."""
    users = blob_bytes = 0
    for batch in _batches(folder, manifest, increment):
        users += len(batch)
        blob_bytes += sum(len(blob) for _, blob in batch)
    expected = (increment or manifest).rows
    if users != expected:
        raise MalformedSnapshotError(f"{MANIFEST}: rows: {expected}, but the files have {users}")
    return SnapshotSize(users, blob_bytes)


def _verify(folder: Path, increment: SnapshotIncrement | None) -> None:
    if increment is None:
        read_manifest(folder)
    else:
        verify_files(folder, increment.files, besides=frozenset({MANIFEST}))


@contextmanager
def _translate_errors(address: str) -> Iterator[None]:
    try:
        with store_errors():
            yield
    except (UnusableSnapshotError, OSError, ValueError):
        raise
    except Exception as error:
        # The address chooses the driver of fsspec, and each has errors of its own.
        raise UnusableSnapshotError(f"{address}: {str(error) or type(error).__name__}") from error


def _copy_manifest(address: str, folder: Path) -> None:
    files, path = locate(address)
    if not files.exists(path):
        raise UnusableSnapshotError(f"{address}: there is no such folder")
    # Alone: a caller may name a home folder, or the root.
    manifest = f"{path.rstrip('/')}/{MANIFEST}"
    if not files.exists(manifest):
        raise UnusableSnapshotError(f"{address}: {MANIFEST}: missing")
    folder.mkdir()
    files.get_file(manifest, str(folder / MANIFEST))


def _copy_users(address: str, folder: Path, increment: SnapshotIncrement | None) -> None:
    files, path = locate(address)
    if increment is None:
        files.get(path.rstrip("/") + "/", str(folder) + "/", recursive=True)
        return
    for name in increment.files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(f"{path.rstrip('/')}/{name}", str(target))
