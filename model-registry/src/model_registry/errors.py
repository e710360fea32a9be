"""What can be wrong with a call to the registry, and the one place that turns it into HTTP."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from contracts.deployments import DeploymentStage
from servicekit.problems import answer


class RegistryError(Exception):
    """Base of all; `status` is what a caller over HTTP sees."""

    status = 500


class NotFoundError(RegistryError):
    """There is no such model, version or deployment: check the name."""

    status = 404


class UnusableUploadError(RegistryError):
    """The upload is not a bundle, or not the one that its checksum names: make it anew and push again."""

    status = 422


class TooLargeError(RegistryError):
    """The upload is larger than `MAX_BUNDLE_MB`: raise the setting or shrink the bundle."""

    status = 413


class DeploymentRefusedError(RegistryError):
    """A check refused the deployment, and nothing changed; `stage` is the check."""

    def __init__(self, stage: DeploymentStage, detail: str, *, status: int) -> None:
        super().__init__(f"{stage}: {detail}")
        self.stage = stage
        self.status = status


class NothingToRollBackError(RegistryError):
    """No earlier version was ever in service, or there is no such canary or shadow."""

    status = 409


class UnavailableError(RegistryError):
    """The database or the artifact store can't be reached; it was reported, and the call may be repeated."""

    status = 503


def install(app: FastAPI) -> None:
    """Answer every error of the registry as a problem document."""

    @app.exception_handler(RegistryError)
    async def on_error(request: Request, error: RegistryError) -> Response:
        return answer(request, error.status, str(error))
