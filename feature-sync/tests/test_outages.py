"""Each consumer group goes on by itself: what the database, or one of its calls, does stops no other."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from sqlalchemy import create_engine, text
from stream_worker import Worker

import feature_sync
from contracts import redis_keys
from contracts.events import BehaviorEvent
from contracts.user_blob import LiveHistory
from feature_sync.app import create_app
from feature_sync.events.log import EventLog
from feature_sync.events.tables import SCHEMA
from feature_sync.settings import Settings
from localservers.waiting import wait_until
from servicekit.database import migrate, open_database
from servicekit.database_calls import DatabaseCalls, DatabaseTimeoutError
from testkit.postgres import PostgresServer, running_server
from testkit.redis_server import RedisServer
from testkit.serving import Served

pytestmark = pytest.mark.anyio
HEALTH_SECONDS = 1.0


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_server() as running:
        running.cluster.ensure_database("recsys")
        yield running


@pytest.fixture
def service(server: PostgresServer, redis_url: str) -> Iterator[httpx.Client]:
    settings = Settings(
        redis_url=SecretStr(redis_url),
        database_url=SecretStr(server.cluster.url("recsys")),
        admin_token=SecretStr("the-token"),
    )
    with Served(create_app(settings)) as served, httpx.Client(base_url=served.url, timeout=10) as client:
        wait_until(lambda: client.get("/health").json()["status"] == "healthy", within=60, what="it is healthy")
        yield client


def _send(plain: Redis, number: int) -> None:
    event = BehaviorEvent(event_id=f"e-{number}", type="view", user_id=7, dataset_id=number, ts=datetime.now(UTC))
    fields: Any = event.to_stream()
    plain.xadd(redis_keys.EVENT_STREAM, fields)


def _is_live(plain: Redis, number: int) -> bool:
    blob: Any = plain.get(redis_keys.live_history(7))
    return blob is not None and number in LiveHistory.unpack(blob).history.ids


def _health(client: httpx.Client) -> dict[str, Any]:
    began = time.monotonic()
    checks: dict[str, Any] = client.get("/health").json()["checks"]
    assert time.monotonic() - began < HEALTH_SECONDS + 0.5
    return checks


def _logged(server: PostgresServer) -> int:
    engine = create_engine(server.cluster.url("recsys"))
    try:
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM events.behavior_events")).scalar_one())
    finally:
        engine.dispose()


@pytest.mark.parametrize("fault", ["hung", "down"])
def test_with_the_database_down_or_hung_live_features_go_on_and_the_log_catches_up(
    service: httpx.Client, server: PostgresServer, plain: Redis, fault: str
) -> None:
    _send(plain, 1)
    wait_until(lambda: _logged(server) == 1, within=60, what="the log works")
    (server.freeze if fault == "hung" else server.stop)()
    try:
        for number in range(2, 22):
            _send(plain, number)
            wait_until(partial(_is_live, plain, number), within=2, every=0.01, what="the event is live")
        wait_until(
            lambda: _health(service)["database"]["status"] == "unhealthy", within=60, what="health shows the database"
        )
        assert plain.xlen(redis_keys.EVENT_STREAM) >= 20
    finally:
        (server.thaw if fault == "hung" else server.start)()
    wait_until(lambda: not plain.xlen(redis_keys.EVENT_STREAM), within=60, what="the stream is empty")
    assert _logged(server) == 21


ADMIN_CALLS = (
    ("POST", "/sync", {"snapshot": "/nowhere"}),
    ("POST", "/verify", {}),
    ("POST", "/datasets/12/withdraw", {"reason": "a test"}),
    ("DELETE", "/datasets/12/withdraw", None),
    ("DELETE", "/users/7", None),
    ("POST", "/dead-letters/replay", {"ids": ["1-0"]}),
    ("POST", "/dead-letters/drop", {"ids": ["1-0"]}),
)


@pytest.mark.parametrize(("fault", "calls"), [("down", ADMIN_CALLS), ("hung", ADMIN_CALLS[:1])])
def test_a_call_that_can_not_be_recorded_is_answered_503_and_not_carried_out(
    service: httpx.Client, server: PostgresServer, plain: Redis, fault: str, calls: tuple[tuple[str, str, Any], ...]
) -> None:
    headers = {"Authorization": "Bearer the-token"}
    _send(plain, 1)
    wait_until(lambda: _is_live(plain, 1) and _logged(server) == 1, within=60, what="the event is processed")
    withdrawn = plain.get(redis_keys.WITHDRAWN)
    (server.freeze if fault == "hung" else server.stop)()
    try:
        for method, path, body in calls:
            answer = service.request(method, path, json=body, headers=headers)
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "5"), (path, answer.text)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert "so nothing has changed; try again later" in answer.json()["detail"]
    finally:
        (server.thaw if fault == "hung" else server.start)()
    assert _is_live(plain, 1)
    assert (plain.exists(redis_keys.SYNC_JOBS), plain.get(redis_keys.WITHDRAWN)) == (0, withdrawn)
    wait_until(
        lambda: service.post("/sync", json={"snapshot": "/nowhere"}, headers=headers).status_code == 202,
        within=60,
        what="calls are carried out again",
    )


def test_health_is_answered_in_a_second_with_a_hung_redis(service: httpx.Client, redis_server: RedisServer) -> None:
    redis_server.freeze()
    try:
        for _ in range(3):
            assert _health(service)["redis"]["status"] == "unhealthy"
    finally:
        redis_server.thaw()


async def test_a_write_to_a_hung_database_is_given_up_and_repeated(
    server: PostgresServer, redis: AsyncRedis, plain: Redis, redis_url: str
) -> None:
    engine = open_database(server.cluster.url("recsys"), SCHEMA)
    migrate(engine, SCHEMA, Path(feature_sync.__file__).parent / "migrations")
    worker = Worker(redis, redis_url, EventLog(engine), write_seconds=0.3)
    _send(plain, 1)
    server.freeze()
    try:
        for _ in range(3):
            async with asyncio.timeout(5):
                await worker.log.step()
    finally:
        server.thaw()
    for _ in range(5):
        await worker.step()
    assert _logged(server) == 1
    assert await worker.letters.list(10) == []
    worker.calls.close()


async def test_a_call_that_is_given_up_leaves_no_thread_behind(server: PostgresServer) -> None:
    engine = open_database(server.cluster.url("recsys"), SCHEMA)
    calls = DatabaseCalls(engine, 0.3)
    with pytest.raises(DatabaseTimeoutError, match=r"within 0\.3 s"):
        await calls.run(_sleep_in_database, engine)
    async with asyncio.timeout(5):
        while True:
            try:
                assert await calls.run(lambda: 42) == 42
            except DatabaseTimeoutError:
                continue
            break
    calls.close()


def _sleep_in_database(engine: Any) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(12)"))
