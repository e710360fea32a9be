"""The registry served over HTTP for a test, with helpers."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from contracts.checksums import sha256_of
from model_registry.app import create_app
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from ranking.testing import tiny_archive
from testkit.serving import Served


class RunningRegistry:
    """A registry on a free port; `http` carries the token."""

    def __init__(self, settings: Settings, sandbox: Sandbox | None = None, **more: Any) -> None:
        self.settings = settings
        self._served = Served(create_app(settings, sandbox, **more))

    def __enter__(self) -> Self:
        self.url = self._served.__enter__().url
        token = self.settings.registry_token.get_secret_value()
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=120)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.http.close()
        self._served.__exit__(kind, error, at)

    def push(self, archive: Path, *, sha256: str | None = None, model: str = "ranker") -> httpx.Response:
        """Upload a bundle."""
        with archive.open("rb") as content:
            return self.http.post(
                f"/models/{model}/versions",
                files={"bundle": ("bundle.tar.gz", content, "application/gzip")},
                data={"sha256": sha256 or sha256_of(archive)},
            )

    def put_evaluation(self, version: str, part: Path, *, sha256: str | None = None) -> httpx.Response:
        """Upload the evaluation part of a version."""
        with part.open("rb") as content:
            return self.http.put(
                f"/models/ranker/versions/{version}/evaluation",
                files={"evaluation": ("evaluation.zip", content, "application/zip")},
                data={"sha256": sha256 or sha256_of(part)},
            )

    def deploy(self, version: str, **more: Any) -> httpx.Response:
        """Deploy a version."""
        return self.http.post("/models/ranker/deployments", json={"version": version, **more})

    def push_new(self, folder: Path, *, seed: int, ndcg: float = 0.2) -> str:
        """Upload a new bundle and return its version."""
        archive = tiny_archive(folder / f"{seed}.tar.gz", seed=seed, ndcg=ndcg)
        pushed = self.push(archive)
        assert pushed.status_code == 201, pushed.text
        return str(pushed.json()["version"])

    def active(self) -> str:
        """Return the version in service."""
        return str(self.http.get("/models/ranker/active").json()["primary"]["version"])

    def stored(self, version: str) -> Path:
        """Return the path of a version's stored bundle."""
        sha256 = self.http.get(f"/models/ranker/versions/{version}").json()["sha256"]
        return Path(self.settings.artifact_url) / "models" / "ranker" / f"{sha256}.tar.gz"
