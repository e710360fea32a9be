"""The registry's HTTP interface, as far as a replica needs it."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
from pydantic import SecretStr, ValidationError

import monitoring
from contracts.deployments import ActiveDeployment, ActiveDeployments
from recommender_api.models.bundle_fetch import RegistryError, RegistryUnreachableError, fetch_bundle
from recommender_api.models.subprocess_runner import run_in_subprocess

# Polling waits for nobody; a bundle of hundreds of megabytes takes its time.
POLL_TIMEOUT = httpx.Timeout(2.0)


class MalformedDeploymentError(RegistryError):
    """The active deployment is not valid JSON or not of its schema; the message names the field."""


@dataclass(frozen=True)
class Active:
    """The deployments in service, None while nothing is deployed, and the tag to ask for changes with."""

    deployments: ActiveDeployments | None
    etag: str | None


class Registry:
    """Client for one model of one registry."""

    def __init__(self, client: httpx.AsyncClient, url: str, token: SecretStr, model_name: str) -> None:
        self.url = f"{url.rstrip('/')}/models/{model_name}/active"
        self._client = client
        self._base = f"{url.rstrip('/')}/"
        self._token = token
        self._model_name = model_name

    async def active(self, etag: str | None) -> Active | None:
        """Return what is to be served, or None if that hasn't changed since `etag`.

        Raises `RegistryUnreachableError` or `MalformedDeploymentError`.
        """
        headers = self._headers(self.url) | ({"If-None-Match": etag} if etag else {})
        try:
            response = await self._client.get(self.url, headers=headers, timeout=POLL_TIMEOUT)
        except httpx.HTTPError as error:
            raise RegistryUnreachableError(f"{self.url}: {error or type(error).__name__}") from error
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return None
        if response.status_code == httpx.codes.NOT_FOUND:
            return Active(None, None)
        if response.status_code != httpx.codes.OK:
            raise RegistryUnreachableError(f"{self.url}: HTTP {response.status_code}")
        return Active(parse(response.content), response.headers.get("ETag"))

    async def fetch(self, deployment: ActiveDeployment, folder: Path, *, in_subprocess: bool) -> None:
        """Bring the deployment's bundle to `folder`: see `fetch_bundle`; in a subprocess it holds up no answer."""
        url = self.source(deployment)
        run = run_in_subprocess if in_subprocess else asyncio.to_thread
        await run(fetch_bundle, url, self._headers(url), deployment.sha256, folder)

    async def report_replica(self, replica_id: str, version: str | None, state: str, since: datetime) -> None:
        """Tell which version this replica serves; raises `RegistryUnreachableError`."""
        url = urljoin(self._base, f"models/{self._model_name}/replicas/{replica_id}")
        body = {"version": version, "state": state, "since": since.isoformat()}
        try:
            response = await self._client.put(url, json=body, headers=self._headers(url), timeout=POLL_TIMEOUT)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise RegistryUnreachableError(f"{url}: {error or type(error).__name__}") from error

    def source(self, deployment: ActiveDeployment) -> str:
        """Return the absolute URL of a deployment's bundle."""
        return urljoin(self._base, deployment.bundle_url)

    def _headers(self, url: str) -> dict[str, str]:
        """Token and trace are for the registry only, wherever a bundle may lie."""
        ours, theirs = urlsplit(self._base), urlsplit(url)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            return {}
        return {"Authorization": f"Bearer {self._token.get_secret_value()}"} | monitoring.trace_headers()


def parse(body: bytes) -> ActiveDeployments:
    """Read the active deployments; raises `MalformedDeploymentError`."""
    try:
        return ActiveDeployments.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise MalformedDeploymentError(f"{field or 'document'}: {first['msg']}") from error
