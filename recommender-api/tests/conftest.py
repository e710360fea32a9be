"""Fixtures: the service as a process would run it, but in a thread of the test, so that its reports can be seen."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from contracts.bundle import read_manifest
from contracts.deployments import ActiveDeployment
from ranking.bundle import load
from ranking.engine import Engine
from ranking.testing import tiny_archive, tiny_bundle
from recommender_api.app import create_app
from recommender_api.models.serving import LoadedModel
from recommender_api.settings import Settings
from servicekit.http_protocol import HttpProtocol
from testkit.fake_registry import SINCE, FakeRegistry
from testkit.redis_server import RedisServer
from testkit.running_app import RunningApp

EVENTS_TOKEN = "events-token-of-the-tests"
ADMIN_TOKEN = "admin-token-of-the-tests"
REGISTRY_TOKEN = "registry-token-of-the-tests"


class Archives(NamedTuple):
    """Two bundles that answer differently."""

    first: Path
    second: Path


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    folder = tmp_path_factory.mktemp("archives")
    return Archives(
        tiny_archive(folder / "first.tar.gz", seed=0), tiny_archive(folder / "second.tar.gz", version="2", seed=1)
    )


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The first bundle, loaded."""
    folder = tiny_bundle(tmp_path_factory.mktemp("bundle"))
    deployment = ActiveDeployment(
        deployment_id="1", version="1", bundle_url="/bundle", sha256="0" * 64, rollout=1.0, since=SINCE
    )
    return LoadedModel(deployment, read_manifest(folder), Engine(load(folder)))


@pytest.fixture
def registry(archives: Archives) -> Iterator[FakeRegistry]:
    """A registry with version 1 deployed."""
    server = FakeRegistry()
    server.deploy(server.push("1", archives.first))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make_settings(tmp_path: Path, redis_url: str, registry: FakeRegistry) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        # A budget that a loaded test machine can meet; the tests of the breaker use a short one.
        values = {
            "environment": "test",
            "redis_url": redis_url,
            "redis_budget_ms": 100,
            "request_budget_ms": 1000,
            "registry_url": registry.url,
            "registry_token": REGISTRY_TOKEN,
            "model_poll_seconds": 0.05,
            "model_cache_dir": tmp_path / "models",
            "event_journal_dir": tmp_path / "journal",
            "events_token": EVENTS_TOKEN,
            "admin_token": ADMIN_TOKEN,
            "replica_id": "replica-1",
        }
        return Settings(**(values | changes))

    return make


@pytest.fixture
def start(make_settings: Callable[..., Settings], until: Callable[..., float]) -> Iterator[Callable[..., RunningApp]]:
    """Start the service with changed settings; by default wait until it is ready."""
    with ExitStack() as stack:

        def run(*, ready: bool = True, **changes: Any) -> RunningApp:
            running = stack.enter_context(RunningApp(create_app(make_settings(**changes)), HttpProtocol))
            if ready:
                # The first start of a session compiles, which takes long on a slow machine.
                until(lambda: running.get("/ready").status_code == 200, within=60)
            return running

        yield run


@pytest.fixture
def api(start: Callable[..., RunningApp]) -> RunningApp:
    """The service, ready."""
    return start()


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client with which a test itself reads and writes Redis."""
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        yield client


@pytest.fixture
def held_redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """A Redis that a test may kill or freeze; it is running again for the next test."""
    yield redis_server
    try:
        redis_server.thaw()
    except RuntimeError:
        redis_server.restart()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
