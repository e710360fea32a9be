from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

import feature_sync
from feature_sync.app import create_app
from feature_sync.connections import open_redis
from feature_sync.events.log import EventLog
from feature_sync.events.tables import SCHEMA
from feature_sync.settings import Settings
from servicekit.database import migrate, open_database
from servicekit.redis_urls import disconnect
from testkit.serving import Served


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[AsyncRedis]:
    client = open_redis(redis_url)
    yield client
    await disconnect(client)


@pytest.fixture
def plain(redis_url: str) -> Iterator[Redis]:
    """A plain Redis client for assertions."""
    with Redis.from_url(redis_url, socket_timeout=5) as client:
        yield client


@pytest.fixture(params=["postgresql", "sqlite"])
def event_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    url = f"sqlite:///{tmp_path}/recsys.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = open_database(url, SCHEMA)
    migrate(engine, SCHEMA, Path(feature_sync.__file__).parent / "migrations")
    yield EventLog(engine)
    engine.dispose()


@pytest.fixture
def postgres_log(postgres_url: str) -> Iterator[EventLog]:
    engine = open_database(postgres_url, SCHEMA)
    migrate(engine, SCHEMA, Path(feature_sync.__file__).parent / "migrations")
    yield EventLog(engine)
    engine.dispose()


@pytest.fixture
def worker(redis_url: str, postgres_url: str) -> Iterator[httpx.Client]:
    settings = Settings(
        redis_url=SecretStr(redis_url), database_url=SecretStr(postgres_url), admin_token=SecretStr("the-token")
    )
    with Served(create_app(settings)) as served, httpx.Client(base_url=served.url) as client:
        yield client
