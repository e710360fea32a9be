"""Uploads: checked completely before anything is stored, and stored before the version is visible."""

import tempfile
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Row

import monitoring
from contracts.bundle import BundleManifest, MalformedBundleError, MalformedManifestError, unpack
from contracts.checksums import ChecksumError, sha256_of
from model_registry.artifacts import ArtifactStore
from model_registry.database import Database, lock_model
from model_registry.errors import NotFoundError, TooLargeError, UnusableUploadError
from model_registry.versions import queries

_BLOCK = 2**20


class Versions:
    """The versions of all models."""

    def __init__(self, database: Database, store: ArtifactStore, max_bundle_bytes: int) -> None:
        self._database = database
        self._store = store
        self._max_bytes = max_bundle_bytes

    def upload(self, model: str, content: IO[bytes], sha256: str) -> tuple[Row[Any], bool]:
        """Store a bundle as the next version, and return whether it is new: the same content keeps its version.

        Raises `UnusableUploadError` or `TooLargeError`; then nothing is stored.
        """
        with tempfile.TemporaryDirectory(prefix="upload-") as folder:
            bundle = Path(folder, "bundle.tar.gz")
            self._receive(content, bundle)
            actual = sha256_of(bundle)
            if actual != sha256.lower():
                raise UnusableUploadError(f"sha256: the upload's is {actual}, the form says {sha256}")
            with self._database.transaction("find_version") as connection:
                known = queries.by_checksum(connection, model, actual)
            if known is not None and self._store.exists(model, actual):
                return known, False
            manifest = _check_upload(model, bundle, Path(folder, "contents"))
            size = bundle.stat().st_size
            self._store.put(bundle, model)
        with self._database.transaction("add_version") as connection:
            lock_model(connection, model)
            known = queries.by_checksum(connection, model, actual)
            if known is not None:
                return known, False
            _check_refreshed(connection, model, manifest)
            return queries.add(connection, model, actual, size, manifest), True

    def get(self, model: str, version: str) -> Row[Any]:
        """Return a version; raises `NotFoundError`."""
        with self._database.transaction("get_version") as connection:
            return queries.get(connection, model, version)

    def all_of(self, model: str) -> list[Row[Any]]:
        """Return the versions of a model, newest first; raises `NotFoundError`."""
        with self._database.transaction("list_versions") as connection:
            return list(queries.all_of(connection, model))

    def models(self) -> dict[str, list[Row[Any]]]:
        """Return all models with their versions."""
        with self._database.transaction("list_models") as connection:
            return {name: list(queries.all_of(connection, name)) for name in queries.names(connection)}

    def _receive(self, content: IO[bytes], target: Path) -> None:
        taken = 0
        with target.open("wb") as copy:
            while block := content.read(_BLOCK):
                taken += len(block)
                if taken > self._max_bytes:
                    raise TooLargeError(f"bundle: larger than {self._max_bytes // _BLOCK} MiB (MAX_BUNDLE_MB)")
                copy.write(block)


def _check_upload(model: str, bundle: Path, folder: Path) -> BundleManifest:
    folder.mkdir()
    try:
        manifest = unpack(bundle, folder)
    except MalformedManifestError as error:
        monitoring.report("model.registry_parse_failed", error=error, registry_path="upload", model_name=model)
        raise UnusableUploadError(f"bundle: {error}") from error
    except (MalformedBundleError, ChecksumError) as error:
        raise UnusableUploadError(f"bundle: {error}") from error
    if manifest.name != model:
        raise UnusableUploadError(f"bundle: manifest.json: name: is {manifest.name!r}, pushed as {model!r}")
    return manifest


def _check_refreshed(connection: Connection, model: str, manifest: BundleManifest) -> None:
    """Raise `UnusableUploadError` if the bundle refreshes a version that does not exist, or is itself a refresh."""
    if manifest.refreshes is None:
        return
    field = "bundle: manifest.json: refreshes"
    try:
        trained = queries.get(connection, model, manifest.refreshes)
    except NotFoundError as error:
        raise UnusableUploadError(f"{field}: {error}") from error
    if trained.refreshes is not None:
        raise UnusableUploadError(
            f"{field}: version {trained.version} is itself a refresh of version {trained.refreshes}; name that one"
        )
