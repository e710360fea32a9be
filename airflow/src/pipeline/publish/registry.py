"""Client of the model registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from contracts.command_line import printable
from contracts.deployments import DeploymentRequest
from contracts.registry.client import RegistryClient
from contracts.registry.errors import RegistryAnswerError, RegistryRejectedError, RegistryUnreachableError
from pipeline.publish.http import SHOWN_CHARS, UnreachableError, UnusableAnswerError, client, refusal

_SERVICE = "model-registry"


def push(url: str, token: SecretStr | None, name: str, archive: Path) -> str:
    """Upload a bundle and return the version that the registry gave it; the same bytes again get the same."""
    with _registry(url, token, name) as registry:
        return registry.push(archive).version


def deploy(url: str, token: SecretStr | None, name: str, version: str) -> str:
    """Make a version the primary one and return the deployment's id; raises `RefusedError` with the failed check."""
    with _registry(url, token, name) as registry:
        return registry.deploy(DeploymentRequest(version=version, mode="primary")).deployment_id


@contextmanager
def _registry(url: str, token: SecretStr | None, name: str) -> Iterator[RegistryClient]:
    """Give the client of a model; its errors inside become those of the pipeline, without the token."""
    secret = token.get_secret_value() if token else ""
    try:
        with client(_SERVICE, url, token) as http:
            yield RegistryClient(http.request, name)
    except RegistryUnreachableError as error:
        raise UnreachableError(f"{_SERVICE} at {url}: {error.reason}") from error
    except RegistryRejectedError as error:
        raise refusal(_SERVICE, error.status, printable(error.detail, secret)) from error
    except RegistryAnswerError as error:
        raise UnusableAnswerError(f"{_SERVICE}: {error}: {printable(error.body, secret)[:SHOWN_CHARS]}") from error
