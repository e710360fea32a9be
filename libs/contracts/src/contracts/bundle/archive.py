"""Packs a bundle folder into a reproducible `.tar.gz`, and unpacks an untrusted one safely."""

import errno
import gzip
import os
import shutil
import tarfile
from pathlib import Path

from contracts.bundle.errors import MalformedBundleError
from contracts.bundle.files import MAX_BYTES, MAX_UNPACKED_BYTES
from contracts.bundle.gzip_stream import PIECE, GzipStream
from contracts.bundle.manifest import MANIFEST, BundleManifest, read_manifest
from contracts.bundle.tar_entries import Entry, iter_entries, shown
from contracts.checksums import files_below, verify_files

# Tables of a catalogue that nobody has used are padding, which deflate makes up to 1,000 times as small. Vectors and
# titles of the same bundle are not: the largest ratio that was seen is 15.
MAX_EXPANSION = 200
# An archive that unpacks to so little may expand as it likes.
MIN_UNPACKED_BYTES = 256 * 2**20


def pack(folder: Path, archive: Path) -> None:
    """Write the files below `folder` to `archive`: the same content gives the same bytes."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in files_below(folder).items():
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            entry.mode = 0o644
            with path.open("rb") as content:
                tar.addfile(entry, content)


def unpack(archive: Path, folder: Path) -> BundleManifest:
    """Unpack `archive` into the empty `folder`, check every file against the manifest, and return it.

    Raises `MalformedBundleError`, `MalformedManifestError` or `contracts.checksums.ChecksumError`, and `OSError` of the
    disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with archive.open("rb") as packed:
        stream = GzipStream(packed)
        max_bytes = max(MIN_UNPACKED_BYTES, MAX_EXPANSION * os.fstat(packed.fileno()).st_size)
        sizes: dict[str, int] = {}
        for entry in iter_entries(stream):
            if entry.is_folder:
                _check_folder(entry)
                continue
            _check_file(entry, sizes, min(max_bytes, MAX_UNPACKED_BYTES))
            sizes[entry.name] = entry.size
            _write(stream, entry.size, folder / entry.name)
    manifest = read_manifest(folder)
    verify_files(folder, manifest.files, besides=frozenset({MANIFEST}))
    return manifest


def _check_folder(entry: Entry) -> None:
    # `tar czf bundle.tar.gz -C folder .` writes the folder itself, too.
    if entry.name.rstrip("/") not in ("", "."):
        raise MalformedBundleError(f"{shown(entry.name)}: a bundle has no folders")


def _check_file(entry: Entry, sizes: dict[str, int], max_bytes: int) -> None:
    """Check what an entry says, before any of its bytes is written."""
    most = MAX_BYTES.get(entry.name)
    if most is None:
        raise MalformedBundleError(f"{shown(entry.name)}: not a file of a bundle")
    if entry.name in sizes:
        raise MalformedBundleError(f"{entry.name}: is in the archive twice")
    if entry.size > most:
        raise MalformedBundleError(f"{entry.name}: {entry.size} bytes; the maximum is {most}")
    total = entry.size + sum(sizes.values())
    if total > max_bytes:
        raise MalformedBundleError(f"{entry.name}: the archive unpacks to {total} bytes; the maximum is {max_bytes}")


def _write(stream: GzipStream, size: int, target: Path) -> None:
    if size > shutil.disk_usage(target.parent).free:
        # Filling the disk would hurt its other users as well.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    with target.open("xb") as copy:
        while size:
            piece = stream.read_piece(min(size, PIECE))
            if not piece:
                raise MalformedBundleError(f"not a readable .tar.gz: it ends inside {target.name}")
            copy.write(piece)
            size -= len(piece)
