"""Uploads: checked completely before anything is stored, and stored before the version is visible."""

from pathlib import Path
from typing import IO, Any, NamedTuple

from sqlalchemy import Connection, Row

import monitoring
from contracts.bundle import AnotherRankerError, BundleManifest, MalformedManifestError, check_same_ranker
from contracts.bundle_signatures import BundleSignature
from contracts.checksums import sha256_of
from contracts.webhooks import WebhookEvent
from model_registry.artifacts import ArtifactStore, DamagedArtifactError, MissingArtifactError, StoredBundle
from model_registry.bundle_checks.report import CheckReport
from model_registry.bundle_checks.service import BundleChecks
from model_registry.database import Database, lock_model
from model_registry.errors import NotFoundError, RemovedVersionError, TooLargeError, UnusableUploadError
from model_registry.paging import Page, cut_page
from model_registry.scratch import Scratch
from model_registry.signatures import SignaturePolicy
from model_registry.versions import queries
from model_registry.versions.queries import NewContent
from model_registry.webhooks.outbox import Outbox

_BLOCK = 2**20


class VersionPage(NamedTuple):
    """A part of the versions of a model, newest first, without their manifests; `next_before` begins the next one."""

    model: str
    rows: list[Row[Any]]
    next_before: str | None


class Versions:
    """The versions of all models."""

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        checks: BundleChecks,
        scratch: Scratch,
        max_bundle_bytes: int,
        *,
        outbox: Outbox,
        signatures: SignaturePolicy,
    ) -> None:
        self._outbox = outbox
        self._signatures = signatures
        self._database = database
        self._store = store
        self._checks = checks
        self._scratch = scratch
        self._max_bytes = max_bundle_bytes

    def upload(
        self,
        model: str,
        content: IO[bytes],
        sha256: str,
        pushed_by: str | None = None,
        *,
        signature: BundleSignature | None = None,
    ) -> tuple[Row[Any], bool]:
        """Store a bundle as the next version, and return whether it is new: the same content keeps its version.

        If the store has lost or damaged that version's bundle, or retention has removed it, the store has it again;
        a signature is added to that version.
        Raises `UnusableUploadError`, `TooLargeError`, `BusyError` and `UnavailableError`; then no version is added.
        """
        with self._scratch.folder("upload") as folder:
            bundle = folder / "bundle.tar.gz"
            self._receive(content, bundle)
            actual = sha256_of(bundle)
            if actual != sha256.lower():
                raise UnusableUploadError(f"sha256: the upload's is {actual}, the form says {sha256}")
            self._signatures.check_upload(model, actual, signature)
            with self._database.transaction("find_version") as connection:
                known = queries.by_checksum(connection, model, actual)
            if known is not None:
                return self._push_again(bundle, model, actual, signature), False
            report = self._checks.check(bundle, folder / "contents")
            manifest = _usable_manifest(model, report)
            size = bundle.stat().st_size
            self._heal(bundle, model, actual)
            with self._database.transaction("add_version") as connection:
                lock_model(connection, model)
                known = self._restore(connection, bundle, model, actual)
                if known is not None:
                    return self._sign(connection, known, signature), False
                _check_refreshed(connection, model, manifest)
                self._checks.remember(actual, report, connection)
                added = queries.add(connection, model, NewContent(actual, size, manifest, signature), pushed_by)
                version, refreshes = str(added.version), manifest.refreshes
                facts = {"version": version, "sha256": actual, "refreshes": refreshes, "by": pushed_by}
                self._outbox.record(connection, WebhookEvent.PUSHED, model, **facts)
                return added, True

    def get(self, model: str, version: str) -> Row[Any]:
        """Return a version; raises `NotFoundError`."""
        with self._database.transaction("get_version") as connection:
            return queries.get(connection, model, version)

    def open_bundle(self, version: Row[Any]) -> StoredBundle:
        """Open a version's bundle; raises `NotFoundError` if it is gone or damaged."""
        if version.removed_at is not None:
            raise NotFoundError(f"{queries.removal(version)}; push it again")
        which = f"the bundle of {version.model} {version.version}"
        try:
            return self._store.open_intact(version.model, version.sha256)
        except MissingArtifactError as error:
            raise NotFoundError(f"{which} is not in the artifact store; push it again") from error
        except DamagedArtifactError as error:
            raise NotFoundError(f"{which} is damaged in the artifact store; push it again") from error

    def page_of(self, model: str, page: Page) -> VersionPage:
        """Return a page of the versions of a model, newest first; raises `NotFoundError` if it has none at all."""
        with self._database.transaction("list_versions") as connection:
            rows = queries.page_of(connection, model, page)
            if not rows and model not in queries.names(connection):
                raise NotFoundError(f"there is no model {model!r}")
        return VersionPage(model, *cut_page(rows, page, "version"))

    def models(self) -> list[VersionPage]:
        """Return all models with their newest versions."""
        page = Page()
        with self._database.transaction("list_models") as connection:
            found = {name: queries.page_of(connection, name, page) for name in queries.names(connection)}
        return [VersionPage(name, *cut_page(rows, page, "version")) for name, rows in found.items()]

    def _push_again(self, bundle: Path, model: str, sha256: str, signature: BundleSignature | None) -> Row[Any]:
        """Return the version that has this content, with its bundle in the store, also if it was removed."""
        self._heal(bundle, model, sha256)
        with self._database.transaction("restore_version") as connection:
            lock_model(connection, model)
            self._restore(connection, bundle, model, sha256)
            return self._sign(connection, queries.of_checksum(connection, model, sha256), signature)

    def _sign(self, connection: Connection, known: Row[Any], signature: BundleSignature | None) -> Row[Any]:
        """Add a signature to a version that is there; the caller holds the model's lock."""
        if signature is None or not self._signatures.replaces(known, signature):
            return known
        queries.set_signature(connection, known.model, known.sha256, signature)
        return queries.of_checksum(connection, known.model, known.sha256)

    def _restore(self, connection: Connection, bundle: Path, model: str, sha256: str) -> Row[Any] | None:
        """Return the version with this content, if there is one; if it was removed, it is there again.

        The caller holds the model's lock, without which retention deletes no file.
        """
        known = queries.by_checksum(connection, model, sha256)
        if known is None or known.removed_at is None:
            return known
        self._heal(bundle, model, sha256)
        queries.restore(connection, model, known.version)
        return queries.of_checksum(connection, model, sha256)

    def _heal(self, bundle: Path, model: str, sha256: str) -> None:
        """Store a bundle unless the store has it, whole; a store that fails is an unhandled error, and reported."""
        if not self._store.is_intact(model, sha256):
            self._store.put(bundle, model)

    def _receive(self, content: IO[bytes], target: Path) -> None:
        taken = 0
        with target.open("wb") as copy:
            while block := content.read(_BLOCK):
                taken += len(block)
                if taken > self._max_bytes:
                    raise TooLargeError(f"bundle: larger than {self._max_bytes // _BLOCK} MiB (MAX_BUNDLE_MB)")
                copy.write(block)


def _usable_manifest(model: str, report: CheckReport) -> BundleManifest:
    """Return the manifest; raises `UnusableUploadError` for what is no bundle, or one of another model.

    A bundle whose content fails a check is taken in: deploying it fails, and that is recorded.
    """
    if report.manifest is None:
        detail = "no manifest" if report.refusal is None else report.refusal.detail
        if report.refusal is not None and report.refusal.error == MalformedManifestError.__name__:
            error = MalformedManifestError(detail)
            monitoring.report("model.registry_parse_failed", error=error, registry_path="upload", model_name=model)
        raise UnusableUploadError(f"bundle: {detail}")
    if report.manifest.name != model:
        raise UnusableUploadError(f"bundle: manifest.json: name: is {report.manifest.name!r}, pushed as {model!r}")
    return report.manifest


def _check_refreshed(connection: Connection, model: str, manifest: BundleManifest) -> None:
    """Raise `UnusableUploadError` for a refresh of what is no trained version, or with another ranker than that one."""
    if manifest.refreshes is None:
        return
    field = "bundle: manifest.json: refreshes"
    try:
        trained = queries.get_present(connection, model, manifest.refreshes)
    except (NotFoundError, RemovedVersionError) as error:
        raise UnusableUploadError(f"{field}: {error}") from error
    if trained.refreshes is not None:
        raise UnusableUploadError(
            f"{field}: version {trained.version} is itself a refresh of version {trained.refreshes}; name that one"
        )
    try:
        check_same_ranker(manifest, BundleManifest.model_validate(trained.manifest))
    except AnotherRankerError as error:
        raise UnusableUploadError(f"{field}: {error}") from error
