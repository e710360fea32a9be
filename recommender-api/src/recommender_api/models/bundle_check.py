"""Checks that an unpacked bundle still has the checksums of its manifest.

Imports as little as `bundle_fetch`, for the same reason.
"""

from pathlib import Path

from contracts.bundle import read_manifest
from contracts.bundle.manifest import MANIFEST
from contracts.checksums import ChecksumError, verify_files

PRECOMPUTED = ("precomputed_items.npy", "precomputed_scores.npy")


def check_bundle(folder: Path) -> ChecksumError | None:
    """Compare all checksums; return the damage of the precomputed lists, raise that of any other file.

    Raises `ChecksumError` or `MalformedManifestError`.
    """
    files = read_manifest(folder).files
    precomputed = {name: value for name, value in files.items() if name in PRECOMPUTED}
    others = {name: value for name, value in files.items() if name not in PRECOMPUTED}
    verify_files(folder, others, besides=frozenset({MANIFEST, *PRECOMPUTED}))
    try:
        verify_files(folder, precomputed, besides=frozenset({MANIFEST, *others}))
    except ChecksumError as error:
        return error
    return None
