"""Adds to a snapshot what it changes in an earlier one, so that its sync writes only that."""

import logging
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

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
# A sync of all users corrects what Redis may have lost. It comes after so many increments, but not more than once in so
# much time: with a refresh each hour, it would undo what the increments save.
WHOLE_EVERY = 7
WHOLE_AFTER = timedelta(days=1)
# Runs as of one moment (`--as-of`) never get a day older: a week of refreshes bounds their increments.
MAX_INCREMENTS = 7 * 24


class StoredSnapshot(NamedTuple):
    """A snapshot and its address."""

    address: str
    manifest: SnapshotManifest


def add_changes(folder: Path, manifest: SnapshotManifest, synced: Sequence[str]) -> None:
    """Add an increment to the snapshot in a folder, if one of those that were synced can be its base.

    `synced` are their addresses, the last one first. If the base is not in Redis then, feature-sync writes all users.
    One that can't be read counts as not there.
    """
    found = _find_base(manifest, find_chain(synced))
    if found is None:
        return
    address, number = found
    with ExitStack() as opened:
        try:
            base = opened.enter_context(reading(address))
        except (PipelineError, OSError) as error:
            _log.warning("the snapshot gets no increment to %s: %s", address, error)
            return
        try:
            # An `OSError` of this is about the new snapshot, and fails the step.
            increment = add_increment(folder, base, number).increment
        except (UnsortedUsersError, MalformedSnapshotError, ChecksumError) as error:
            _log.warning("the snapshot gets no increment to %s: %s", address, error)
            return
    _log.info("the snapshot changes %s users of %s", "no" if increment is None else increment.rows, address)


def find_chain(synced: Iterable[str]) -> list[StoredSnapshot]:
    """Return the snapshot that was synced last, and its bases down to the whole one; nothing if one can't be read."""
    chain: list[StoredSnapshot] = []
    for address in synced:
        manifest = _read_manifest(address)
        if manifest is None and not chain:
            break
        if manifest is None or not _is_next(manifest, chain):
            continue
        chain.append(StoredSnapshot(address, manifest))
        if manifest.increment is None:
            return chain
    return []


def _is_next(manifest: SnapshotManifest, chain: Sequence[StoredSnapshot]) -> bool:
    increment = chain[-1].manifest.increment if chain else None
    return increment is None or increment.base == content_name(manifest)


def _find_base(manifest: SnapshotManifest, chain: Sequence[StoredSnapshot]) -> tuple[str, int] | None:
    """Return the address of the base, and the number of the increment; None if all users are to be written."""
    if not chain:
        return None
    last, whole = chain[0], chain[-1]
    number = 1 if last.manifest.increment is None else last.manifest.increment.number + 1
    is_due = number >= WHOLE_EVERY and manifest.created_at - whole.manifest.created_at >= WHOLE_AFTER
    if is_due or number > MAX_INCREMENTS:
        return None
    # If too many lie below the last one, the whole one, which stays in Redis as long as it.
    base = next((each for each in (last, whole) if can_be_base(each.manifest, manifest)), None)
    return None if base is None else (base.address, number)


def _read_manifest(address: str) -> SnapshotManifest | None:
    try:
        data = read_file(join(address, MANIFEST))
        return None if data is None else SnapshotManifest.model_validate_json(data)
    except ValidationError:
        return None
    except OSError as error:
        _log.warning("the snapshot %s counts as not there: %s", address, error)
        return None
