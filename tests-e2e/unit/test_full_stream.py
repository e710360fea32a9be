"""PostgreSQL is stopped until the event stream is full: events then wait in the API's journal, and none is lost."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import create_engine, text

from contracts import redis_keys
from contracts.events import BehaviorEvent
from contracts.user_blob import LiveHistory
from feature_sync.app import create_app
from feature_sync.settings import Settings
from localservers.waiting import wait_until
from recommender_api.events import EventIntake, Journal
from recommender_api.metrics import Metrics
from recommender_api.redis_store import Breaker, GuardedStore, open_store
from testkit.postgres import PostgresServer, running_server
from testkit.serving import Served

STREAM_MAX_BYTES = 200_000
BATCHES, BATCH, USERS = 30, 100, 60
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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
        stream_max_lag_seconds=1,
    )
    with Served(create_app(settings)) as served, httpx.Client(base_url=served.url, timeout=10) as client:
        wait_until(lambda: client.get("/health").json()["status"] == "healthy", within=60, what="it is healthy")
        yield client


async def test_no_event_is_lost_while_postgresql_is_down_and_the_stream_full(
    service: httpx.Client, server: PostgresServer, redis_url: str, tmp_path: Path
) -> None:
    redis = open_store(redis_url, budget=1.0, stream_max_bytes=STREAM_MAX_BYTES)
    store = GuardedStore(redis, Breaker(redis.probe, on_close=lambda: None), redis.address)
    journal = Journal(tmp_path, max_bytes=2**24)
    journal.open()
    intake = EventIntake(store, store.without_reporting(), journal, Metrics())
    with Redis.from_url(redis_url, socket_timeout=5) as plain:
        server.stop()
        try:
            for batch in range(BATCHES):
                taken = await intake.take([_event(batch * BATCH + number) for number in range(BATCH)])
                assert taken.receipt.accepted == BATCH
            assert (intake.stream_full, journal.waiting_bytes > 0) == (True, True)
            size = plain.memory_usage(redis_keys.EVENT_STREAM)
            assert size is not None
            # What the groups have taken and not yet stored counts as well, and comes later.
            assert size < 2 * STREAM_MAX_BYTES
            wait_until(lambda: "log" in _degraded(service), within=60, what="health shows the lag")
        finally:
            server.start()
        async with asyncio.timeout(60):
            while journal.waiting_bytes:
                await intake.replay()
                await asyncio.sleep(0.05)
        await asyncio.to_thread(
            wait_until, lambda: not plain.xlen(redis_keys.EVENT_STREAM), within=60, what="the stream is empty"
        )
        assert _logged(server) == BATCHES * BATCH
        assert plain.xlen(redis_keys.DEAD_LETTERS) == 0
        for user in range(1, USERS + 1):
            assert len(LiveHistory.unpack(plain.get(redis_keys.live_history(user))).history) == BATCHES * BATCH // USERS
    journal.close()
    await redis.close()


def _event(number: int) -> BehaviorEvent:
    return BehaviorEvent(
        event_id=f"e-{number}", type="view", user_id=number % USERS + 1, dataset_id=number + 1, ts=datetime.now(UTC)
    )


def _degraded(service: httpx.Client) -> str:
    check = service.get("/health").json()["checks"]["events"]
    return str(check["detail"]) if check["status"] == "degraded" else ""


def _logged(server: PostgresServer) -> int:
    engine = create_engine(server.cluster.url("recsys"))
    try:
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM events.behavior_events")).scalar_one())
    finally:
        engine.dispose()
