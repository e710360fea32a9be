"""Monitoring pointed at a collector and gateway on loopback that can misbehave."""

from collections.abc import Iterator

import pytest

import monitoring
from monitoring import MonitoringSettings
from testkit.fake_server import FakeServer

GATEWAY_TOKEN = "gateway-token-canary"


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    server = FakeServer()
    server.start()
    yield server
    # What is left is taken now: no test waits for a flush in vain.
    server.mode = server.gateway_mode = "ok"
    server.released.set()
    monitoring.shutdown()
    server.stop()


@pytest.fixture
def settings(fake_server: FakeServer) -> MonitoringSettings:
    """Collector and gateway set, no spool."""
    return MonitoringSettings(
        sentry_dsn=fake_server.dsn,
        sentry_environment="test",
        sentry_release="recsys@1.2.3",
        gateway_url=fake_server.url,
        gateway_token=GATEWAY_TOKEN,
    )


@pytest.fixture
def on(settings: MonitoringSettings, fake_server: FakeServer) -> FakeServer:
    """Monitoring initialised as the service `tested`."""
    monitoring.init("tested", settings)
    return fake_server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
