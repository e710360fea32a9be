"""The model registry over HTTP."""

from pathlib import Path

from pydantic import SecretStr

from contracts.checksums import sha256_of
from pipeline.publish.http import answer_of, client

_SERVICE = "model-registry"


def push(url: str, token: SecretStr | None, name: str, archive: Path) -> str:
    """Upload a bundle and return the version that the registry gave it; the same bytes again get the same."""
    with client(_SERVICE, url, token) as registry, archive.open("rb") as stream:
        response = registry.post(
            f"/models/{name}/versions",
            data={"sha256": sha256_of(archive)},
            files={"bundle": (archive.name, stream, "application/gzip")},
        )
    return str(answer_of(_SERVICE, response, "version")["version"])


def deploy(url: str, token: SecretStr | None, name: str, version: str) -> str:
    """Make a version the primary one and return the deployment's id; raises `RefusedError` with the failed check."""
    with client(_SERVICE, url, token) as registry:
        response = registry.post(f"/models/{name}/deployments", json={"version": version, "mode": "primary"})
    return str(answer_of(_SERVICE, response, "deployment_id")["deployment_id"])
