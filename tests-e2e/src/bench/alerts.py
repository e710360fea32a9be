"""The time from a signal to its WeChat message, and the messages of a storm; one gateway process and the simulator."""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from pydantic import SecretStr

from bench.results import Goal, Result
from localservers.ports import Ports
from localservers.postgres import PostgresCluster
from localservers.waiting import wait_until
from testkit.postgres import running_cluster
from testkit.processes import ServerProcess
from wechat_simulator.server import SimulatorServer
from wechat_simulator.settings import Settings as SimulatorSettings

TOKEN = "bench-token"
PER_SECOND = 50
# A member gets at most 30 messages a minute. The gateway stays below that and delays messages after the first twenty.
# So each round uses a new gateway and sends twenty urgent signals, one a second.
ROUNDS, SECONDS = 10, 20
STORM_SIGNALS, STORM_FINGERPRINTS, BATCH = 100_000, 20, 1_000
POLICY = Path(__file__).parents[3] / "deploy" / "alerts.yaml"
SIMULATED = SimulatorSettings(weixin_corp_secret=SecretStr("bench-corp-secret"))


def measure(folder: Path) -> list[Result]:
    """Measure on PostgreSQL, as in production."""
    with running_cluster() as cluster, SimulatorServer.on_free_port(SIMULATED) as simulator:
        took: list[float] = []
        late = 0.0
        for number in range(ROUNDS):
            with _gateway(folder, cluster, f"latency_{number}", simulator.url) as gateway:
                more, lag = _latency(gateway, simulator.url)
            took, late = sorted(took + more), max(late, lag)
            httpx.post(f"{simulator.url}/_control/reset", timeout=5).raise_for_status()
        with _gateway(folder, cluster, "storm", simulator.url) as gateway:
            return _latencies(took, late) + _storm(gateway, simulator.url)


def _latencies(took: list[float], late: float) -> list[Result]:
    part = f"alerts, {PER_SECOND} signals/s: "
    urgent = ROUNDS * SECONDS
    return [
        Result(part + "urgent signals", urgent, "signals"),
        Result(part + "messages about urgent signals", len(took), "messages", Goal(least=urgent, most=urgent)),
        Result(part + "signal to message, median", took[len(took) // 2], "s"),
        Result(part + "signal to message, p99", took[int(len(took) * 0.99)], "s", Goal(most=2.0)),
        Result(part + "signal to message, longest", took[-1], "s"),
        Result(part + "largest delay of the load generator", late, "s"),
    ]


def _latency(gateway: httpx.Client, simulator: str) -> tuple[list[float], float]:
    """Return the seconds from each urgent signal to its message, and the largest delay of the load generator."""
    began: dict[str, float] = {}
    late = 0.0

    def send(number: int) -> None:
        urgent = number % PER_SECOND == 0
        name = f"urgent_{number}"
        if urgent:
            began[name] = time.time()
        fingerprint = ["airflow", "bench", name] if urgent else ["pipeline", f"step_{number % 50}", "ValueError"]
        _post(gateway, [_signal(fingerprint, level="error" if urgent else "warning")])

    with ThreadPoolExecutor(max_workers=16) as pool:
        start = time.monotonic()
        for number in range(SECONDS * PER_SECOND):
            ahead = start + number / PER_SECOND - time.monotonic()
            time.sleep(max(ahead, 0))
            late = max(late, -ahead)
            pool.submit(send, number)
    wait_until(lambda: len(_messages(simulator)) >= len(began), within=30, what="a message for every urgent signal")
    took = []
    for message in _messages(simulator):
        for name, at in began.items():
            if f"{name}:" in message["content"]:
                took.append(datetime.fromisoformat(message["received_at"]).timestamp() - at)
    return took, late


def _storm(gateway: httpx.Client, simulator: str) -> list[Result]:
    began = time.monotonic()
    for _ in range(STORM_SIGNALS // BATCH):
        _post(gateway, [_signal(["airflow", "storm", f"task_{n % STORM_FINGERPRINTS}"]) for n in range(BATCH)])
    took = time.monotonic() - began
    wait_until(lambda: len(_messages(simulator)) > 0, within=30, what="a message about the storm")
    # A recovery that follows at once would count as flapping.
    _post(gateway, [_signal(["airflow", "storm", "*"], kind="recovered")])
    before = len(_messages(simulator))
    wait_until(lambda: len(_messages(simulator)) > before, within=60, what="a message about the end of the storm")
    time.sleep(5)
    alerts = gateway.get("/alerts", params={"limit": 500}).json()["alerts"]
    counted = {alert["occurrences"] for alert in alerts}
    exact = counted == {STORM_SIGNALS // STORM_FINGERPRINTS}
    part = f"alerts, storm of {STORM_SIGNALS:,} signals: "
    return [
        Result(part + "taken", STORM_SIGNALS / took, "signals/s"),
        Result(part + "incidents", len(alerts), "incidents", Goal(least=STORM_FINGERPRINTS, most=STORM_FINGERPRINTS)),
        Result(part + "messages", len(_messages(simulator)), "messages", Goal(most=2 * STORM_FINGERPRINTS)),
        Result(part + "exact counts", float(exact), "of 1", Goal(least=1)),
    ]


def _post(gateway: httpx.Client, signals: list[dict[str, Any]]) -> None:
    gateway.post("/signals", json={"signals": signals}).raise_for_status()


def _signal(fingerprint: list[str], level: str = "error", kind: str = "fired") -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {
        "signal_id": uuid4().hex,
        "kind": kind,
        "monitoring_point": "airflow.task_failed" if fingerprint[0] == "airflow" else "pipeline.step_failed",
        "fingerprint": fingerprint,
        "level": level,
        "category": fingerprint[0],
        "service": "bench",
        "environment": "bench",
        "message": f"{fingerprint[2]}: it broke",
        "first_seen": now,
        "last_seen": now,
    }


def _messages(simulator: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{simulator}/_control/messages", timeout=10).json()["messages"]
    return found


@contextmanager
def _gateway(folder: Path, cluster: PostgresCluster, name: str, simulator: str) -> Iterator[httpx.Client]:
    port = Ports.free().gateway
    cluster.ensure_database(f"bench_{name}")
    environment = {
        "PATH": "/usr/bin:/bin",
        "ENVIRONMENT": "test",
        "LOG_LEVEL": "WARNING",
        "PORT": str(port),
        "DATABASE_URL": cluster.url(f"bench_{name}"),
        "ALERT_POLICY": str(POLICY),
        "GATEWAY_TOKEN": TOKEN,
        "WEIXIN_BASE_URL": simulator,
        "WEIXIN_CORP_ID": SIMULATED.weixin_corp_id,
        "WEIXIN_CORP_SECRET": SIMULATED.weixin_corp_secret.get_secret_value(),
        "WEIXIN_AGENT_ID": str(SIMULATED.weixin_agent_id),
        "WEIXIN_TO_USER": "alice",
    }
    process = ServerProcess(
        (sys.executable, "-m", "notification_gateway"), folder / f"{name}.log", environment=environment
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: process.check_alive() and _answers(url), within=60, what="the gateway answers")
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            yield client
    finally:
        process.end()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.TransportError:
        return False
