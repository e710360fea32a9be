"""Adds to a snapshot what it changes in an earlier one, so that its sync writes only that."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from contracts.checksums import ChecksumError
from contracts.snapshot import (
    MANIFEST,
    MalformedSnapshotError,
    SnapshotManifest,
    UnsortedUsersError,
    add_increment,
    can_be_base,
    content_name,
)
from pipeline.artifacts import join, read_file, reading
from pipeline.errors import PipelineError

_log = logging.getLogger(__name__)
# Of so many snapshots in a row, one has no increment: a sync of all users corrects what Redis may have lost.
WHOLE_EVERY = 7


def add_changes(folder: Path, manifest: SnapshotManifest, synced: Sequence[str]) -> None:
    """Add an increment to the snapshot in a folder, if one of those that were synced can be its base.

    `synced` are their addresses, the last one first. If the base is not in Redis then, feature-sync writes all users.
    """
    found = _find_base(manifest, synced)
    if found is None:
        return
    address, number = found
    try:
        with reading(address) as base:
            increment = add_increment(folder, base, number).increment
    except (UnsortedUsersError, MalformedSnapshotError, ChecksumError, PipelineError) as error:
        _log.warning("the snapshot gets no increment to %s: %s", address, error)
    else:
        _log.info("the snapshot changes %s users of %s", "no" if increment is None else increment.rows, address)


def _find_base(manifest: SnapshotManifest, synced: Sequence[str]) -> tuple[str, int] | None:
    """Return the address of the base, and the number of the increment; None if all users are to be written."""
    address = synced[0] if synced else ""
    base = _read_manifest(address) if address else None
    number = 1 if base is None or base.increment is None else base.increment.number + 1
    if base is None or number >= WHOLE_EVERY:
        return None
    if not can_be_base(base, manifest):
        # Too many lie below it: the one below all of them, which stays in Redis as long as it.
        lowest = _lowest(base, synced)
        if lowest is None or not can_be_base(lowest[1], manifest):
            return None
        address = lowest[0]
    return address, number


def _lowest(manifest: SnapshotManifest, addresses: Iterable[str]) -> tuple[str, SnapshotManifest] | None:
    """Return the whole snapshot that a snapshot is based on by all of its bases; None if one of them was deleted."""
    manifests = {address: found for address in addresses if (found := _read_manifest(address)) is not None}
    by_content = {content_name(each): (address, each) for address, each in manifests.items()}
    lowest: tuple[str, SnapshotManifest] | None = None
    increment = manifest.increment
    while increment is not None:
        lowest = by_content.get(increment.base)
        increment = None if lowest is None else lowest[1].increment
    return lowest


def _read_manifest(address: str) -> SnapshotManifest | None:
    data = read_file(join(address, MANIFEST))
    try:
        return None if data is None else SnapshotManifest.model_validate_json(data)
    except ValidationError:
        return None
