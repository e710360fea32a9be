"""SHA-256 of files, and the check of a folder against the sums that its manifest names."""

import hashlib
from collections.abc import Mapping
from pathlib import Path


class ChecksumError(ValueError):
    """A file is missing, is not the one that the manifest names, or is not named at all; fetch it again."""


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_below(folder: Path) -> dict[str, Path]:
    """Return every file below `folder` by its POSIX path relative to it, sorted."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def verify_files(folder: Path, sums: Mapping[str, str], *, besides: frozenset[str]) -> None:
    """Compare the files below `folder` with `sums`; raises `ChecksumError` that names the first difference."""
    found = files_below(folder)
    for name, expected in sums.items():
        if name not in found:
            raise ChecksumError(f"{name}: named in the manifest, but missing")
        actual = sha256_of(found[name])
        if actual != expected:
            raise ChecksumError(f"{name}: sha256 is {actual}, the manifest says {expected}")
    if strangers := found.keys() - sums.keys() - besides:
        raise ChecksumError(f"{min(strangers)}: not named in the manifest")
