"""The artifact store: a folder or a bucket, accessed by fsspec, with one file of a kind per version."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from contracts.artifact_store import locate, store_errors
from contracts.checksums import sha256_of

_BLOCK = 2**20
BUNDLE = ".tar.gz"
EVALUATION = ".evaluation.zip"


class MissingArtifactError(LookupError):
    """The store doesn't have the bundle; push it again."""


class DamagedArtifactError(ValueError):
    """What the store has is not the bundle that was pushed; push it again."""


@dataclass(frozen=True)
class StoredBundle:
    """A bundle that is open for reading, from its first byte; the caller closes `content`."""

    content: IO[bytes]
    size: int


class ArtifactStore:
    """Bundles below a folder or an `s3://` prefix, named by model and checksum; all methods raise `OSError`.

    With another `suffix` it holds evaluation parts, at the same place.
    """

    def __init__(self, url: str, suffix: str = BUNDLE) -> None:
        self._suffix = suffix
        location = locate(url)
        self._files, self._root, self._folder = location.files, location.path, location.local_path
        # What a bundle's file was like when its checksum was right.
        self._intact: dict[str, tuple[object, ...]] = {}

    def address(self, model: str, sha256: str) -> str:
        """Return the address of a bundle."""
        return f"{self._root}/models/{model}/{sha256}{self._suffix}"

    def is_intact(self, model: str, sha256: str) -> bool:
        """Return whether a bundle is there with the right content, all of which is read."""
        try:
            return self.checksum(model, sha256) == sha256
        except MissingArtifactError:
            return False

    @store_errors()
    def checksum(self, model: str, sha256: str) -> str:
        """Return the SHA-256 of what is stored, which should be `sha256`; raises `MissingArtifactError`."""
        with self._open(model, sha256) as content:
            return _sha256_of(content)

    @store_errors()
    def put(self, bundle: Path, model: str) -> str:
        """Store a bundle, completely or not at all, and return its SHA-256; one that is damaged is replaced."""
        sha256 = sha256_of(bundle)
        target = self.address(model, sha256)
        if self._folder is not None:
            _put_file(bundle, Path(target))
        else:
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            # An object appears when its upload is complete.
            self._files.put_file(str(bundle), target)
        return sha256

    @store_errors()
    def fetch(self, model: str, sha256: str, target: Path) -> None:
        """Copy a bundle to a local file; raises `MissingArtifactError`."""
        with self._open(model, sha256) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, _BLOCK)

    @store_errors()
    def open_intact(self, model: str, sha256: str) -> StoredBundle:
        """Open a bundle whose content is right; raises `MissingArtifactError`, `DamagedArtifactError`.

        It is read once to know that, and again only after its file has changed.
        """
        address = self.address(model, sha256)
        content = self._open(model, sha256)
        try:
            size, state = self._state(address, content)
            if self._intact.get(address) != state:
                _check_content(content, sha256)
                self._intact[address] = state
                content.seek(0)
        except BaseException:
            content.close()
            raise
        return StoredBundle(content, size)

    @store_errors()
    def checksums(self, model: str) -> set[str]:
        """Return the SHA-256 of the model's bundles that are stored, as their names say."""
        try:
            names = self._files.ls(f"{self._root}/models/{model}", detail=False)
        except FileNotFoundError:
            return set()
        stored = (str(name).rpartition("/")[2] for name in names)
        return {name.removesuffix(self._suffix) for name in stored if name.endswith(self._suffix)}

    @store_errors()
    def remove(self, model: str, sha256: str) -> None:
        """Delete a bundle; it may be gone already."""
        address = self.address(model, sha256)
        self._intact.pop(address, None)
        try:
            self._files.rm_file(address)
        except FileNotFoundError:
            return

    @store_errors()
    def check(self) -> None:
        """Raise `OSError` if the store can't be used now: unreachable, read-only, full."""
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder) as probe:
                probe.write(b"0")
            return
        try:
            self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            # Nothing was pushed yet.
            return

    def collect(self) -> int:
        """Remove what uploads of killed processes left in a folder; return how many files that were."""
        if self._folder is None:
            return 0
        return sum(_remove_unlocked(partial) for partial in self._folder.glob("models/*/*.partial"))

    def _open(self, model: str, sha256: str) -> IO[bytes]:
        try:
            stream: IO[bytes] = self._files.open(self.address(model, sha256), "rb")
        except FileNotFoundError as error:
            raise MissingArtifactError(self.address(model, sha256)) from error
        return stream

    def _state(self, address: str, content: IO[bytes]) -> tuple[int, tuple[object, ...]]:
        if self._folder is not None:
            found = os.fstat(content.fileno())
            return found.st_size, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        info: dict[str, Any] = self._files.info(address)
        return int(info["size"]), (info["size"], info.get("ETag"), info.get("LastModified"))


def _sha256_of(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := content.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _check_content(content: IO[bytes], sha256: str) -> None:
    if (actual := _sha256_of(content)) != sha256:
        raise DamagedArtifactError(f"the stored bundle's sha256 is {actual}, expected {sha256}")


def _put_file(bundle: Path, target: Path) -> None:
    """Copy to the disk, and only then to its place; the lock says that the partial file is being written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{uuid4().hex}.partial")
    try:
        with bundle.open("rb") as source, partial.open("xb") as copy:
            fcntl.flock(copy, fcntl.LOCK_EX)
            shutil.copyfileobj(source, copy, _BLOCK)
            copy.flush()
            os.fsync(copy.fileno())
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove_unlocked(partial: Path) -> bool:
    try:
        with partial.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    return True
