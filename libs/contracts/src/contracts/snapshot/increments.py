"""Writing what a snapshot changes in an earlier one: syncing that costs a fraction of syncing all users."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from contracts import redis_keys
from contracts.checksums import files_below, sha256_of
from contracts.snapshot.files import MalformedSnapshotError, iter_users, read_manifest, write_manifest, write_users
from contracts.snapshot.manifest import SnapshotIncrement, SnapshotManifest, content_name

FOLDER = "increment"


class UnsortedUsersError(ValueError):
    """The users of a snapshot are not in ascending order, so it is not compared; sync it as a whole."""


def can_be_base(base: SnapshotManifest, manifest: SnapshotManifest) -> bool:
    """Return whether a snapshot may be written as an increment to an earlier one."""
    return (
        (base.feature_schema, base.user_features) == (manifest.feature_schema, manifest.user_features)
        and base.until <= manifest.until
        and _depth(base) < redis_keys.MAX_BASES
    )


def add_increment(folder: Path, base_folder: Path, number: int) -> SnapshotManifest:
    """Add to a written snapshot what it changes in an earlier one, for which `can_be_base` is true.

    It is the increment of this number since the last snapshot without one. Raises `UnsortedUsersError`,
    `MalformedSnapshotError` or `ChecksumError`; then the snapshot has no increment.
    """
    manifest, base = read_manifest(folder), _read_base(base_folder)
    part = folder / FOLDER
    part.mkdir()
    try:
        rows = write_users(part, _changes(_ascending(base_folder, base), _ascending(folder, manifest)))
    except BaseException:
        shutil.rmtree(part)
        raise
    increment = SnapshotIncrement(
        base=content_name(base),
        base_until=base.until,
        number=number,
        depth=_depth(base) + 1,
        rows=rows,
        files={f"{FOLDER}/{name}": sha256_of(path) for name, path in files_below(part).items()},
    )
    changed = manifest.model_copy(update={"increment": increment})
    write_manifest(folder, changed)
    return changed


def _read_base(folder: Path) -> SnapshotManifest:
    try:
        return read_manifest(folder)
    except OSError as error:
        raise MalformedSnapshotError(f"the base can't be read: {error}") from error


def _depth(manifest: SnapshotManifest) -> int:
    return 0 if manifest.increment is None else manifest.increment.depth


def _changes(before: Iterator[tuple[int, bytes]], after: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield changed, new and removed users, these with an empty blob; both sides ascend by id."""
    old = next(before, None)
    for user, blob in after:
        while old is not None and old[0] < user:
            yield old[0], b""
            old = next(before, None)
        if old != (user, blob):
            yield user, blob
        if old is not None and old[0] == user:
            old = next(before, None)
    while old is not None:
        yield old[0], b""
        old = next(before, None)


def _ascending(folder: Path, manifest: SnapshotManifest) -> Iterator[tuple[int, bytes]]:
    last = None
    for batch in iter_users(folder, manifest):
        for user, blob in batch:
            if last is not None and user <= last:
                raise UnsortedUsersError(f"{manifest.version}: user {user} comes after user {last}")
            last = user
            yield user, blob
