"""What a check has found."""

from dataclasses import dataclass

from contracts.bundle import BundleManifest
from contracts.deployments import DeploymentStage


@dataclass(frozen=True)
class Refusal:
    """Why a bundle can't be deployed; `error` is the kind of error, `is_final` whether a second check says the same."""

    stage: DeploymentStage
    detail: str
    error: str = ""
    is_final: bool = True


@dataclass(frozen=True)
class CheckReport:
    """The manifest, None if the archive is no bundle; and the refusal, None if the bundle can be deployed."""

    manifest: BundleManifest | None
    refusal: Refusal | None = None

    @property
    def is_final(self) -> bool:
        """Whether the report holds for this content as long as the code is the same."""
        return self.manifest is not None and (self.refusal is None or self.refusal.is_final)
