"""A stop always ends the worker within its grace period, whatever it is doing and whatever hangs."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis

from contracts import redis_keys
from contracts.events import BehaviorEvent
from feature_sync.app import create_app
from feature_sync.settings import Settings
from localservers.ports import Ports
from localservers.waiting import wait_until
from testkit.postgres import PostgresServer, running_server
from testkit.redis_server import RedisServer
from testkit.serving import Served

# Docker's, the shortest of the environments.
GRACE_SECONDS = 10.0
STOPS = 10
# It is answered within a second; this machine may be busy.
HEALTH_SECONDS = 1.5


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_server() as running:
        running.cluster.ensure_database("recsys")
        yield running


def _start(redis_url: str, database_url: str, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    port = Ports.free().sync
    variables = {
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "PORT": str(port),
        "SPOOL_DIR": str(folder / "spool"),
        "LOG_LEVEL": "ERROR",
    }
    process = subprocess.Popen([sys.executable, "-m", "feature_sync"], env={**os.environ, **variables})
    return process, f"http://127.0.0.1:{port}"


def _is_healthy(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/health", timeout=5).json()["status"] == "healthy")
    except httpx.TransportError:
        return False


def _send(plain: Redis, first: int, count: int) -> None:
    pipeline = plain.pipeline(transaction=False)
    for number in range(first, first + count):
        event = BehaviorEvent(
            event_id=f"e-{number}", type="view", user_id=number % 50 + 1, dataset_id=number, ts=datetime.now(UTC)
        )
        fields: Any = event.to_stream()
        pipeline.xadd(redis_keys.EVENT_STREAM, fields)
    pipeline.execute()


def test_a_worker_that_is_stopped_at_any_moment_of_its_work_ends_and_loses_nothing(
    redis_url: str, tmp_path: Path
) -> None:
    settings = Settings(redis_url=SecretStr(redis_url), database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"))
    chosen = random.Random(7)
    with Redis.from_url(redis_url, socket_timeout=5) as plain:
        for number in range(STOPS):
            _send(plain, number * 300 + 1, 300)
            with Served(create_app(settings)) as served:
                time.sleep(chosen.uniform(0, 0.3))
                began = time.monotonic()
                served.stop()
                assert not served.is_running
                assert time.monotonic() - began < GRACE_SECONDS / 2
        with Served(create_app(settings)):
            wait_until(lambda: not plain.xlen(redis_keys.EVENT_STREAM), within=60, what="the stream is empty")
    with closing(sqlite3.connect(f"{tmp_path}/recsys.db.events")) as connection:
        assert connection.execute("SELECT count(*) FROM behavior_events").fetchone() == (STOPS * 300,)


def test_a_sigterm_ends_a_worker_whose_redis_and_postgresql_hang(
    server: PostgresServer, redis_server: RedisServer, redis_url: str, tmp_path: Path
) -> None:
    process, url = _start(redis_url, server.cluster.url("recsys"), tmp_path)
    try:
        wait_until(lambda: _is_healthy(url), within=60, what="it is healthy")
        redis_server.freeze()
        server.freeze()
        # Into the calls that will not be answered.
        time.sleep(1)
        assert max(_seconds_of_health(url) for _ in range(3)) < HEALTH_SECONDS
        process.send_signal(signal.SIGTERM)
        # uvicorn raises the signal again once it is done.
        assert process.wait(GRACE_SECONDS) == -signal.SIGTERM
    finally:
        redis_server.thaw()
        server.thaw()
        process.kill()
        process.wait()


def _seconds_of_health(url: str) -> float:
    began = time.monotonic()
    assert httpx.get(f"{url}/health", timeout=10).json()["status"] == "degraded"
    return time.monotonic() - began
