"""A healthy day raises no alarm: real requests to a real recommender, its signals to a real gateway."""

import socket
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from localservers.waiting import wait_until
from ranking.testing import tiny_archive
from testkit.fake_registry import FakeRegistry
from testkit.fake_server import FakeServer
from testkit.redis_server import RedisServer
from verify.fault_lab import TOKEN, FaultLab, SideService
from verify.settings import Settings
from wechat_simulator.server import SimulatorServer
from wechat_simulator.settings import Settings as SimulatorSettings

POLICY = Path(__file__).parents[2] / "deploy" / "alerts.yaml"
SIMULATED = SimulatorSettings(weixin_corp_secret=SecretStr("corp-secret-of-the-noise"))
# Budgets that a busy test machine can meet: the slow Redis stays within them, and a blip does not.
BUDGET_SECONDS, SLOW_SECONDS, BLIP_SECONDS = 0.3, 0.08, 0.6
_users = count(1)


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer.on_free_port(SIMULATED) as server:
        yield server


@pytest.fixture
def gateway(tmp_path: Path, collector: FakeServer, simulator: SimulatorServer) -> Iterator[SideService]:
    variables = {
        "SENTRY_ENVIRONMENT": "test",
        "DATABASE_URL": f"sqlite:///{tmp_path}/gateway.db",
        "ALERT_POLICY": str(POLICY),
        "GATEWAY_TOKEN": TOKEN,
        "WEIXIN_BASE_URL": simulator.url,
        "WEIXIN_CORP_ID": SIMULATED.weixin_corp_id,
        "WEIXIN_CORP_SECRET": SIMULATED.weixin_corp_secret.get_secret_value(),
        "WEIXIN_AGENT_ID": str(SIMULATED.weixin_agent_id),
        "WEIXIN_TO_USER": "alice",
    }
    with fault_lab(tmp_path, collector).service("notification_gateway", variables) as side:
        yield side


@pytest.fixture
def api(
    tmp_path: Path, collector: FakeServer, gateway: SideService, redis_server: RedisServer, redis_url: str
) -> Iterator[SideService]:
    registry = FakeRegistry()
    registry.deploy(registry.push("1", tiny_archive(tmp_path / "bundle.tar.gz")))
    registry.start()
    variables = {
        "SENTRY_ENVIRONMENT": "test",
        "GATEWAY_URL": str(gateway.http.base_url),
        "GATEWAY_TOKEN": TOKEN,
        "REDIS_URL": redis_url,
        "REDIS_BUDGET_MS": str(BUDGET_SECONDS * 1000),
        "REQUEST_BUDGET_MS": "5000",
        "REGISTRY_URL": registry.url,
        "MODEL_CACHE_DIR": str(tmp_path / "models"),
        "EVENT_JOURNAL_DIR": str(tmp_path / "journal"),
    }
    try:
        with fault_lab(tmp_path, collector).service("recommender_api", variables, ready="/ready") as side:
            yield side
    finally:
        redis_server.thaw()
        registry.stop()


@pytest.fixture
def collector() -> Iterator[FakeServer]:
    server = FakeServer()
    server.start()
    yield server
    server.stop()


def fault_lab(folder: Path, collector: FakeServer) -> FaultLab:
    return FaultLab(folder, "1", Settings(collector_url=collector.url, collector_token="-"), collector.dsn)


def ask(api: SideService) -> httpx.Response:
    """Send a request that no cache answers."""
    return api.http.get(f"/recommend/user/{next(_users)}")


def hang_up(api: SideService, request: bytes) -> None:
    """Send a request, or half of one, and don't wait for the answer."""
    with socket.create_connection((api.http.base_url.host, api.http.base_url.port or 80), timeout=5) as connection:
        connection.sendall(request)


def alerts(gateway: SideService) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.get("/alerts").json()["alerts"]
    return found


def noise(api: SideService, redis: RedisServer) -> None:
    """404s, malformed requests, clients that hang up, and answers that are slow but within their budget."""
    for _ in range(20):
        assert api.http.get("/similar/987654321").status_code == 404
        assert api.http.get("/no/such/page").status_code == 404
        assert api.http.get("/similar/1.5").status_code == 422
        assert api.http.get("/recommend/user/7?limit=999").status_code == 422
        assert api.http.post("/events", json={}, headers={"Authorization": "Bearer wrong"}).status_code == 401
        hang_up(api, f"GET /recommend/user/{next(_users)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        hang_up(api, b"GET /similar/105 HTTP/1.1\r\nHo")
        hang_up(api, b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
    for _ in range(10):
        redis.freeze()
        time.sleep(SLOW_SECONDS)
        redis.thaw()
        assert ask(api).json()["fallback_level"] == 0


def blip(api: SideService, redis: RedisServer) -> None:
    """Redis hangs for a moment; every request is answered, some of them degraded."""
    redis.freeze()
    until = time.monotonic() + BLIP_SECONDS
    levels = set()
    while time.monotonic() < until:
        levels.add(ask(api).json()["fallback_level"])
    redis.thaw()
    assert levels & {1, 2, 3}
    wait_until(lambda: ask(api).json()["fallback_level"] == 0, within=60, what="answers are normal")


@pytest.mark.timeout(180)
def test_noise_makes_no_signal_and_a_blip_of_redis_notifies_no_one(
    api: SideService, gateway: SideService, redis_server: RedisServer, simulator: SimulatorServer
) -> None:
    noise(api, redis_server)
    for _ in range(3):
        blip(api, redis_server)
    wait_until(
        lambda: "redis.connection_failed" in {alert["monitoring_point"] for alert in alerts(gateway)},
        within=60,
        what="the gateway has the blips",
    )
    # Signals of the noise would have arrived before.
    priorities = {alert["monitoring_point"]: alert["priority"] for alert in alerts(gateway)}
    assert priorities.pop("redis.connection_failed") == "P1"
    assert set(priorities) <= {"fallback.redis_failed", "fallback.precomputed_used", "fallback.static_popular_used"}
    assert set(priorities.values()) <= {"P1", "P2", "none"}
    assert httpx.get(f"{simulator.url}/_control/messages", timeout=5).json()["messages"] == []
