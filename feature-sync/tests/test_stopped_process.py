"""A worker that was itself stopped for longer than its deadlines reports no healthy Redis or database."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from redis import ConnectionError, Redis  # noqa: A004 - as Redis names it

import monitoring.testing
from contracts import redis_keys
from contracts.events import BehaviorEvent
from feature_sync.connections import ANSWER_SECONDS, RedisFaults
from localservers.ports import Ports
from localservers.waiting import wait_until
from testkit.fake_server import FakeServer

_TOKEN = "token-of-the-gateway"


@contextmanager
def _sending(plain: Redis) -> Iterator[None]:
    """Let events come all the time, so that calls to both stores are under way at any moment."""
    ended = threading.Event()

    def send() -> None:
        number = 0
        while not ended.wait(0.02):
            pipeline = plain.pipeline(transaction=False)
            for _ in range(20):
                number += 1
                event = BehaviorEvent(
                    event_id=f"e-{number}", type="view", user_id=number % 50 + 1, dataset_id=1, ts=datetime.now(UTC)
                )
                fields: Any = event.to_stream()
                pipeline.xadd(redis_keys.EVENT_STREAM, fields)
            pipeline.execute()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_stopped_worker_blames_no_healthy_store(redis_url: str, postgres_url: str, tmp_path: Path) -> None:
    gateway = FakeServer()
    gateway.start()
    port = Ports.free().sync
    variables = {
        "REDIS_URL": redis_url,
        "DATABASE_URL": postgres_url,
        "PORT": str(port),
        "SPOOL_DIR": str(tmp_path / "spool"),
        "GATEWAY_URL": f"http://127.0.0.1:{gateway.server_port}",
        "GATEWAY_TOKEN": _TOKEN,
        "LOG_LEVEL": "ERROR",
        # What piled up meanwhile is worked off, which is no fault.
        "STREAM_MAX_LAG_SECONDS": "600",
    }
    process = subprocess.Popen([sys.executable, "-m", "feature_sync"], env={**os.environ, **variables})
    try:
        wait_until(lambda: _is_healthy(port), within=60, what="the worker is healthy")
        with Redis.from_url(redis_url, socket_timeout=5) as plain:
            with _sending(plain):
                for _ in range(2):
                    # Into some call.
                    time.sleep(0.5)
                    os.kill(process.pid, signal.SIGSTOP)
                    time.sleep(ANSWER_SECONDS + 1)
                    os.kill(process.pid, signal.SIGCONT)
            wait_until(lambda: not plain.xlen(redis_keys.EVENT_STREAM), within=60, what="the events are worked off")
        process.send_signal(signal.SIGTERM)
        # At its end it sends what it has to say.
        process.wait(20)
        fired = [each["monitoring_point"] for each in gateway.signals if each["kind"] == "fired"]
        assert fired == []
    finally:
        process.kill()
        process.wait()
        gateway.stop()


def test_an_outage_is_reported_though_the_process_stalls_again_and_again() -> None:
    stall: float | None = 1.0
    faults = RedisFaults("redis://127.0.0.1:1/0", lambda: stall)

    def fail() -> None:
        with suppress(ConnectionError), faults.report_faults():
            raise ConnectionError

    with monitoring.testing.captured() as reports:
        fail()
        # Another call of the same moment.
        fail()
        assert reports.point_ids == []
        stall = 5.0
        fail()
        assert reports.point_ids == ["redis.connection_failed"]
        with faults.report_faults():
            pass
        fail()
        assert reports.point_ids == ["redis.connection_failed"]


def _is_healthy(port: int) -> bool:
    try:
        return bool(httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).json()["status"] == "healthy")
    except httpx.TransportError:
        return False
