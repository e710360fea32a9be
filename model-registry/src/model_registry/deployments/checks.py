"""The checks that a version must pass; each stage has one name in history, events and answers."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.bundle import (
    BundleManifest,
    MalformedBundleError,
    MalformedManifestError,
    UnreadableFeaturesError,
    check_features,
    overlap,
    unpack,
)
from contracts.checksums import ChecksumError, sha256_of
from contracts.deployments import DeploymentStage
from model_registry.artifacts import ArtifactStore, MissingArtifactError
from model_registry.errors import DeploymentRefusedError
from ranking import bundle
from ranking.bundle import UnusableBundleError
from ranking.engine import Engine
from ranking.ranker import UnusableRankerError
from ranking.verification import GoldenMismatchError, verify

CONFLICT, UNPROCESSABLE = 409, 422
# Below this share of common titles, two versions come from different marketplaces.
SAME_MARKETPLACE = 0.5


@dataclass(frozen=True)
class Gate:
    """How much worse than the active version a new one may be."""

    metric: str
    tolerance: float

    def check(self, candidate: BundleManifest, active: BundleManifest) -> str | None:
        """Compare two versions; raises `DeploymentRefusedError`.

        Metrics can only be compared on the same marketplace. If the business data was replaced, the answer is the
        reason why nothing was compared. A manifest without a sketch of its catalogue is compared.
        """
        if candidate.catalogue_sketch and active.catalogue_sketch:
            shared = overlap(candidate.catalogue_sketch, active.catalogue_sketch)
            if shared < SAME_MARKETPLACE:
                return f"{self.metric} not compared: the catalogues have {shared:.0%} of their titles in common"
        new, old = candidate.metrics.get(self.metric), active.metrics.get(self.metric)
        if old is None:
            return None
        if new is None:
            raise DeploymentRefusedError(
                DeploymentStage.GATE, f"the manifest has no metric {self.metric}", status=CONFLICT
            )
        if new < old * (1 - self.tolerance):
            detail = f"{self.metric} is {new:.4f}, the active version's {old:.4f}; `force` deploys it anyway"
            raise DeploymentRefusedError(DeploymentStage.GATE, detail, status=CONFLICT)
        return None


def check_bundle(store: ArtifactStore, model: str, sha256: str) -> BundleManifest:
    """Fetch a stored bundle and verify its answers; raises `DeploymentRefusedError`, which names the stage."""
    with tempfile.TemporaryDirectory(prefix="deploy-") as folder:
        archive, contents = Path(folder, "bundle.tar.gz"), Path(folder, "contents")
        with _stage(DeploymentStage.SOURCE, MissingArtifactError, OSError):
            store.fetch(model, sha256, archive)
        if (actual := sha256_of(archive)) != sha256:
            detail = f"the stored bundle's sha256 is {actual}, expected {sha256}"
            raise DeploymentRefusedError(DeploymentStage.CHECKSUM, detail, status=UNPROCESSABLE)
        contents.mkdir()
        with _stage(
            DeploymentStage.MANIFEST,
            MalformedBundleError,
            MalformedManifestError,
            UnreadableFeaturesError,
            ChecksumError,
        ):
            manifest = unpack(archive, contents)
            check_features(manifest)
        with _stage(DeploymentStage.LOAD, UnusableBundleError, UnusableRankerError):
            engine = Engine(bundle.load(contents))
        with _stage(DeploymentStage.GOLDEN, GoldenMismatchError):
            verify(engine)
        return manifest


@contextmanager
def _stage(stage: DeploymentStage, *refusals: type[Exception]) -> Iterator[None]:
    try:
        yield
    except refusals as error:
        status = CONFLICT if stage is DeploymentStage.SOURCE else UNPROCESSABLE
        raise DeploymentRefusedError(stage, str(error), status=status) from error
