"""The four services as real processes on loopback, beside a Redis and on SQLite."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

import feature_sync.app
import feature_sync.settings
import model_registry.app
import model_registry.settings
import notification_gateway.app
import notification_gateway.settings
import recommender_api.app
import recommender_api.settings
from localservers.ports import Ports
from localservers.waiting import wait_until
from servicekit.settings import ServiceSettings
from testkit.processes import ServerProcess

START_SECONDS = 90
_POLICY = Path(__file__).parents[3] / "deploy" / "alerts.yaml"


@dataclass(frozen=True)
class Service:
    """How a service is started, and its application."""

    name: str
    settings: type[ServiceSettings]
    create_app: Callable[[Any], FastAPI]

    @property
    def module(self) -> str:
        """The argument of `python -m`."""
        return self.name.replace("-", "_")

    def app(self) -> FastAPI:
        """Return its application, whose routes are listed."""
        return self.create_app(self.settings())


SERVICES = (
    Service("recommender-api", recommender_api.settings.Settings, recommender_api.app.create_app),
    Service("model-registry", model_registry.settings.Settings, model_registry.app.create_app),
    Service("feature-sync", feature_sync.settings.Settings, feature_sync.app.create_app),
    Service("notification-gateway", notification_gateway.settings.Settings, notification_gateway.app.create_app),
)


@dataclass(frozen=True)
class RunningService:
    """A service's process."""

    pid: int
    port: int


@contextmanager
def running(
    service: Service, folder: Path, redis_url: str, settings: Mapping[str, str] | None = None
) -> Iterator[RunningService]:
    """Run a service in a folder, new or of an earlier run; it answers `/health` when the block begins."""
    folder.mkdir(exist_ok=True)
    port = Ports.free().api
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "test",
        "PORT": str(port),
        "TMPDIR": str(temporary),
        "REDIS_URL": redis_url,
        "DATABASE_URL": f"sqlite:///{folder}/recsys.db",
        "ARTIFACT_URL": str(folder / "artifacts"),
        "MODEL_CACHE_DIR": str(folder / "models"),
        "EVENT_JOURNAL_DIR": str(folder / "journal"),
        "SPOOL_DIR": str(folder / "spool"),
        "ALERT_POLICY": str(_POLICY),
        **(settings or {}),
    }
    process = ServerProcess(
        (sys.executable, "-m", service.module), folder / "log", environment=environment, cwd=str(folder)
    )
    try:
        wait_until(
            lambda: process.check_alive() and _answers(port), within=START_SECONDS, what=f"{service.name} answers"
        )
        yield RunningService(process.pid, port)
    finally:
        process.end()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).is_success
    except httpx.TransportError:
        return False
