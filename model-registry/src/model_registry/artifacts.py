"""The artifact store: a folder or a bucket, accessed by fsspec, with one `.tar.gz` per version."""

import shutil
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from contracts.artifact_store import locate, store_errors
from contracts.checksums import sha256_of


class MissingArtifactError(LookupError):
    """The store doesn't have the bundle; push it again."""


class ArtifactStore:
    """Bundles below a folder or an `s3://` prefix, named by model and checksum; all methods raise `OSError`."""

    def __init__(self, url: str) -> None:
        self._files, self._root = locate(url)

    def address(self, model: str, sha256: str) -> str:
        """Return the address of a bundle."""
        return f"{self._root}/models/{model}/{sha256}.tar.gz"

    @store_errors()
    def exists(self, model: str, sha256: str) -> bool:
        """Return whether a bundle exists."""
        return bool(self._files.exists(self.address(model, sha256)))

    @store_errors()
    def put(self, bundle: Path, model: str) -> str:
        """Store a bundle, completely or not at all, and return its SHA-256."""
        sha256 = sha256_of(bundle)
        target = self.address(model, sha256)
        partial = f"{target}.{uuid4().hex}.partial"
        self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
        try:
            self._files.put_file(str(bundle), partial)
            self._files.mv(partial, target)
        finally:
            if self._files.exists(partial):
                self._files.rm(partial)
        return sha256

    @store_errors()
    def fetch(self, model: str, sha256: str, target: Path) -> None:
        """Copy a bundle to a local file; raises `MissingArtifactError`."""
        with self.open(model, sha256) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 2**20)

    @store_errors()
    def open(self, model: str, sha256: str) -> IO[Any]:
        """Open a bundle for reading; raises `MissingArtifactError`."""
        try:
            stream: IO[Any] = self._files.open(self.address(model, sha256), "rb")
        except FileNotFoundError as error:
            raise MissingArtifactError(self.address(model, sha256)) from error
        return stream
