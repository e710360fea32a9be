"""Client of the model registry."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from contracts.bundle_signatures import Signer
from contracts.bundle_signing import UnusableKeyError, load_signer
from contracts.command_line import printable
from contracts.deployments import DeploymentRecord, DeploymentRequest
from contracts.registry import calls
from contracts.registry.client import RegistryClient
from contracts.registry.errors import RegistryAnswerError, RegistryRejectedError, RegistryUnreachableError
from pipeline.errors import InputError, OvertakenError
from pipeline.publish.http import SHOWN_CHARS, UnreachableError, UnusableAnswerError, answer_of, client, refusal

_SERVICE = "model-registry"
# In the history of deployments and in the audit log.
_AUTHOR = "pipeline"
_BLOCK_BYTES = 2**20


class ServedModel(NamedTuple):
    """The trained version in service, with the checksum of its bundle.

    `active` is the version that serves it, itself or a refresh of it, and `active_bundle` the version in the manifest
    of that one.
    """

    trained: str
    sha256: str
    active: str
    active_bundle: str


def push(
    url: str,
    token: SecretStr | None,
    name: str,
    archive: Path,
    evaluation: Path | None = None,
    *,
    signing_key: Path | None = None,
) -> str:
    """Upload a bundle and return the version that the registry gave it; the same bytes again get the same.

    It is signed by the key in the file `signing_key`. Its evaluation part follows if there is one and the registry
    takes it. Raises `InputError` if the key can't be used.
    """
    signer = _signer(signing_key)
    with _registry(url, token, name) as registry:
        return registry.push(archive, evaluation, signer=signer).version


def deploy(url: str, token: SecretStr | None, name: str, version: str, *, reason: str | None = None) -> str:
    """Make a version the primary one and return the deployment's id; raises `RefusedError` with the failed check."""
    with _registry(url, token, name) as registry:
        return registry.deploy(DeploymentRequest(version=version, mode="primary", reason=reason)).deployment_id


def deploy_refresh(
    url: str, token: SecretStr | None, name: str, version: str, expected_active: str, *, reason: str | None = None
) -> str:
    """Put a refresh in the place of the version that it was made beside, and return the deployment's id.

    Raises `OvertakenError` if another version is in service by now. An earlier try whose answer was lost counts.
    """
    wanted = DeploymentRequest(version=version, mode="primary", expected_active=expected_active, reason=reason)
    with _registry(url, token, name) as registry:
        try:
            return registry.deploy(wanted).deployment_id
        except RegistryRejectedError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            active = registry.active()
            if active is not None and active.primary.version == version:
                return active.primary.deployment_id
            if active is None or active.primary.version != expected_active:
                raise OvertakenError(
                    f"overtaken, nothing is deployed: {printable(error.detail, _secret(token))}"
                ) from None
            raise


def served_model(url: str, token: SecretStr | None, name: str) -> ServedModel | None:
    """Return the model in service, None while nothing is deployed."""
    with _registry(url, token, name) as registry:
        active = registry.active()
        if active is None:
            return None
        serving = registry.version(active.primary.version)
        trained = serving if serving.refreshes is None else registry.version(serving.refreshes)
    return ServedModel(trained.version, trained.sha256, serving.version, str(serving.manifest.get("version", "")))


def version_history(
    url: str, token: SecretStr | None, name: str
) -> tuple[list[DeploymentRecord], dict[str, str | None]]:
    """Return the latest deployments of a model, newest first, and which trained version each version refreshes."""
    with _registry(url, token, name) as registry:
        history = registry.history().deployments
        versions = registry.versions().versions if history else []
    return history, {each.version: each.refreshes for each in versions}


def fetch_bundle(url: str, token: SecretStr | None, name: str, version: str, *, sha256: str, archive: Path) -> None:
    """Download the bundle of a version to the file `archive`, and check its checksum."""
    hashed = hashlib.sha256()
    path = calls.bundle_path(name, version)
    with client(_SERVICE, url, token) as http, http.stream("GET", path) as response, archive.open("wb") as file:
        if not response.is_success:
            response.read()
            answer_of(_SERVICE, response)
        for block in response.iter_bytes(_BLOCK_BYTES):
            hashed.update(block)
            file.write(block)
    if hashed.hexdigest() != sha256:
        raise UnreachableError(
            f"{_SERVICE}: the bundle of version {version} has the SHA-256 {hashed.hexdigest()}, expected {sha256}"
        )


@contextmanager
def _registry(url: str, token: SecretStr | None, name: str) -> Iterator[RegistryClient]:
    """Give the client of a model; its errors inside become those of the pipeline, without the token."""
    secret = _secret(token)
    try:
        with client(_SERVICE, url, token) as http:
            http.headers["X-Deployed-By"] = _AUTHOR
            yield RegistryClient(http.request, name)
    except RegistryUnreachableError as error:
        raise UnreachableError(f"{_SERVICE} at {url}: {error.reason}") from error
    except RegistryRejectedError as error:
        raise refusal(_SERVICE, error.status, printable(error.detail, secret)) from error
    except RegistryAnswerError as error:
        raise UnusableAnswerError(f"{_SERVICE}: {error}: {printable(error.body, secret)[:SHOWN_CHARS]}") from error


def _signer(key: Path | None) -> Signer | None:
    try:
        return None if key is None else load_signer(key)
    except UnusableKeyError as error:
        raise InputError(f"SIGNING_KEY: {error}") from error


def _secret(token: SecretStr | None) -> str:
    return token.get_secret_value() if token else ""
