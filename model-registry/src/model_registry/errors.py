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


class RemovedVersionError(ServiceError):
    """Retention has removed the version's bundle: push the bundle again, or deploy another version.

    The registry and the model are sound, so this is not recorded as a failed deployment and raises no alert.
    """

    status = 409


class UnsignedVersionError(ServiceError):
    """The version has no signature by a trusted key, and one is required: push the same bundle again, signed.

    The history has it. The registry and the model are sound, so it raises no alert.
    """

    status = 409


class EvaluatedOtherwiseError(ServiceError):
    """The version has another evaluation part: what a version was compared with doesn't change; push a new bundle."""

    status = 409


class NothingToRollBackError(ServiceError):
    """No earlier version was ever in service, or there is no such canary or shadow."""

    status = 409


class RolloutConflictError(ServiceError):
    """A rollout of the model has not ended, or has ended already, or can't be measured: look at the rollouts."""

    status = 409


class AliasConflictError(ServiceError):
    """The alias points to another version than the call counts on, and nothing changed: look, and decide anew."""

    status = 409


class UnusableUrlError(ServiceError):
    """The address of a webhook can't be used, for the reason in the message: correct it."""

    status = 422


class TooManyLabelsError(ServiceError):
    """There are too many aliases, tags or webhooks, and nothing changed: remove one first."""

    status = 409


class NotComparableError(ServiceError):
    """Two versions can't be compared, for the reason in the message: push their evaluation parts, or choose others."""

    status = 409


class TokenConflictError(ServiceError):
    """There is a valid token of this name, or there are too many: rotate or revoke one."""

    status = 409


class UnavailableError(ServiceError):
    """The database, the disk or the process that checks bundles can't be used; the call may be repeated."""

    status = 503
    retry_after = 5


class BusyError(ServiceError):
    """Too many bundles wait for their check, and nothing was changed or recorded; repeat the call later."""

    status = 503
    retry_after = 10
