"""Monitoring pointed at a collector and gateway on loopback that can misbehave."""

from collections.abc import Iterator

import pytest

import monitoring
from monitoring import MonitoringSettings
from testkit.stand_in import StandIn

GATEWAY_TOKEN = "gateway-token-canary"


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    server.start()
    yield server
    # What is left is taken now: no test waits for a flush in vain.
    server.mode = server.gateway_mode = "ok"
    server.released.set()
    monitoring.shutdown()
    server.stop()


@pytest.fixture
def settings(stand_in: StandIn) -> MonitoringSettings:
    """Collector and gateway set, no spool."""
    return MonitoringSettings(
        sentry_dsn=stand_in.dsn,
        sentry_environment="test",
        sentry_release="recsys@1.2.3",
        gateway_url=stand_in.url,
        gateway_token=GATEWAY_TOKEN,
    )


@pytest.fixture
def on(settings: MonitoringSettings, stand_in: StandIn) -> StandIn:
    """Monitoring initialised as the service `tested`."""
    monitoring.init("tested", settings)
    return stand_in


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
