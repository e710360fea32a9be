"""Packs a bundle folder into a reproducible `.tar.gz`, and unpacks an untrusted one safely."""

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path

from contracts.bundle.manifest import MANIFEST, BundleManifest, read_manifest
from contracts.checksums import files_below, verify_files

MAX_UNPACKED_BYTES = 8 * 2**30
MAX_FILES = 1000
MAX_READ_BYTES = 2**20
# A core's cache holds it, which is a third faster than a megabyte at once, and leaves memory to who answers meanwhile.
_PIECE = 2**15


class MalformedBundleError(ValueError):
    """The archive is not a readable `.tar.gz` of plain files, or is too large; it has to be made anew."""


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

    Raises `MalformedBundleError`, `MalformedManifestError` or `contracts.checksums.ChecksumError`.
    """
    try:
        with _BoundedReads(archive) as unzipped, tarfile.open(fileobj=unzipped, mode="r:") as tar:
            _extract(tar, folder)
    except MalformedBundleError:
        raise
    # tarfile reads names, sizes and sparse maps as they come: what is odd in them has errors of its own.
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise MalformedBundleError(f"{archive.name}: not a readable .tar.gz: {error}") from error
    manifest = read_manifest(folder)
    verify_files(folder, manifest.files, besides=frozenset({MANIFEST}))
    return manifest


class _BoundedReads(gzip.GzipFile):
    """Gives no more at once than a file's content is read in: tarfile takes a long name or a comment whole."""

    def read(self, size: int | None = -1) -> bytes:
        """See `gzip.GzipFile`; raises `MalformedBundleError`."""
        if size is None or not 0 <= size <= MAX_READ_BYTES:
            raise MalformedBundleError(f"an entry's header is larger than {MAX_READ_BYTES} bytes")
        return super().read(size)


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    # By hand: `extract(filter="data")` isn't there before Python 3.11.4, and Debian 12 has 3.11.2.
    root = folder.resolve()
    size = 0
    for count, entry in enumerate(tar, start=1):
        size += entry.size
        if not entry.isfile():
            raise MalformedBundleError(f"{entry.name}: only plain files may be in a bundle")
        if count > MAX_FILES or size > MAX_UNPACKED_BYTES:
            raise MalformedBundleError(f"more than {MAX_FILES} files or {MAX_UNPACKED_BYTES} bytes")
        target = (root / entry.name).resolve()
        if not target.is_relative_to(root):
            raise MalformedBundleError(f"{entry.name}: lies outside of the bundle")
        target.parent.mkdir(parents=True, exist_ok=True)
        content = tar.extractfile(entry)
        assert content is not None  # noqa: S101 - it is a plain file
        with content, target.open("wb") as copy:
            shutil.copyfileobj(content, copy, _PIECE)
