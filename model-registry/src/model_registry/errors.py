"""What can be wrong with a call to the registry."""

from contracts.deployments import DeploymentStage
from servicekit.errors import ServiceError


class NotFoundError(ServiceError):
    """There is no such model, version or deployment: check the name."""

    status = 404


class UnusableUploadError(ServiceError):
    """The upload is not a bundle, or not the one that its checksum names: make it anew and push again."""

    status = 422


class TooLargeError(ServiceError):
    """The upload is larger than `MAX_BUNDLE_MB`: raise the setting or shrink the bundle."""

    status = 413


class DeploymentRefusedError(ServiceError):
    """A check refused the deployment, and nothing changed; `stage` is the check."""

    def __init__(self, stage: DeploymentStage, detail: str, *, status: int) -> None:
        super().__init__(f"{stage}: {detail}")
        self.stage = stage
        self.status = status


class OvertakenError(ServiceError):
    """Another version is in service than the call counts on, and nothing changed: look at `active`, and decide anew.

    The registry and the model are sound, so this is not recorded as a failed deployment and raises no alert.
    """

    status = 409


class NothingToRollBackError(ServiceError):
    """No earlier version was ever in service, or there is no such canary or shadow."""

    status = 409


class UnavailableError(ServiceError):
    """The database or the artifact store can't be reached; it was reported, and the call may be repeated."""

    status = 503
