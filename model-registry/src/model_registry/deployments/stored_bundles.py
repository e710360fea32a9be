"""The checks that a stored version must pass; each stage has one name in history, events and answers."""

from collections.abc import Iterator
from contextlib import contextmanager

from contracts.bundle import BundleManifest
from contracts.checksums import sha256_of
from contracts.deployments import DeploymentStage
from model_registry.artifacts import ArtifactStore, MissingArtifactError
from model_registry.bundle_checks.report import CheckReport
from model_registry.bundle_checks.service import BundleChecks
from model_registry.errors import DeploymentRefusedError
from model_registry.scratch import Scratch

_CONFLICT, _UNPROCESSABLE = 409, 422


class StoredBundles:
    """The bundles of the artifact store, as far as a deployment needs them."""

    def __init__(self, store: ArtifactStore, checks: BundleChecks, scratch: Scratch) -> None:
        self._store = store
        self._checks = checks
        self._scratch = scratch

    def check(self, model: str, sha256: str) -> BundleManifest:
        """Return the manifest of a bundle that may be deployed.

        Its content is checked unless this release knows the outcome; that the store still has it is always checked.
        Raises `DeploymentRefusedError`, which names the stage, `BusyError` and `UnavailableError`.
        """
        report = self._checks.recall(sha256)
        if report is None:
            report = self._check_content(model, sha256)
        else:
            with _source():
                _check_sum(self._store.checksum(model, sha256), sha256)
        if report.refusal is not None:
            raise DeploymentRefusedError(report.refusal.stage, report.refusal.detail, status=_UNPROCESSABLE)
        if report.manifest is None:
            raise DeploymentRefusedError(DeploymentStage.MANIFEST, "no manifest", status=_UNPROCESSABLE)
        return report.manifest

    def _check_content(self, model: str, sha256: str) -> CheckReport:
        with self._scratch.folder("deploy") as folder:
            archive = folder / "bundle.tar.gz"
            with _source():
                self._store.fetch(model, sha256, archive)
            _check_sum(sha256_of(archive), sha256)
            report = self._checks.check(archive, folder / "contents")
        self._checks.remember(sha256, report)
        return report


def _check_sum(actual: str, sha256: str) -> None:
    if actual != sha256:
        detail = f"the stored bundle's sha256 is {actual}, expected {sha256}; push the bundle again"
        raise DeploymentRefusedError(DeploymentStage.CHECKSUM, detail, status=_UNPROCESSABLE)


@contextmanager
def _source() -> Iterator[None]:
    try:
        yield
    except (MissingArtifactError, OSError) as error:
        raise DeploymentRefusedError(DeploymentStage.SOURCE, str(error), status=_CONFLICT) from error
