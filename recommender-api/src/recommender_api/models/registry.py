"""The registry as a replica calls it: what is in service, its own report, and bundles."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from pydantic import SecretStr

import monitoring
from contracts.deployments import ActiveDeployment
from contracts.registry import calls
from contracts.registry.client import AsyncRegistryClient
from recommender_api.models.bundle_fetch import fetch_bundle
from recommender_api.models.subprocess_runner import run_in_subprocess

# No caller waits for a poll; downloading hundreds of megabytes takes long.
POLL_TIMEOUT = httpx.Timeout(2.0)


class ReplicaRegistry(AsyncRegistryClient):
    """The client of one model, which brings bundles as well."""

    def __init__(self, http: httpx.AsyncClient, url: str, token: SecretStr, model_name: str) -> None:
        super().__init__(self._send_with_token, model_name)
        self._http = http
        self._base = f"{url.rstrip('/')}/"
        self._token = token

    @property
    def active_url(self) -> str:
        """The address that is polled."""
        return urljoin(self._base, calls.active_path(self.model).lstrip("/"))

    async def fetch(self, deployment: ActiveDeployment, folder: Path, *, in_subprocess: bool) -> None:
        """Bring the deployment's bundle to `folder`: see `fetch_bundle`; in a subprocess it holds up no answer."""
        url = self.source(deployment)
        run = run_in_subprocess if in_subprocess else asyncio.to_thread
        await run(fetch_bundle, url, self._headers(url), deployment.sha256, folder)

    def source(self, deployment: ActiveDeployment) -> str:
        """Return the absolute URL of a deployment's bundle."""
        return urljoin(self._base, deployment.bundle_url)

    async def _send_with_token(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        timeout: httpx.Timeout = POLL_TIMEOUT,  # noqa: ASYNC109 - httpx's own, for a request that waits
        **content: Any,
    ) -> httpx.Response:
        url = urljoin(self._base, path.lstrip("/"))
        return await self._http.request(
            method, url, headers=self._headers(url) | (headers or {}), timeout=timeout, **content
        )

    def _headers(self, url: str) -> dict[str, str]:
        """Return token and trace headers only for the registry, because a bundle may lie elsewhere."""
        ours, theirs = urlsplit(self._base), urlsplit(url)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            return {}
        return {"Authorization": f"Bearer {self._token.get_secret_value()}"} | monitoring.trace_headers()
