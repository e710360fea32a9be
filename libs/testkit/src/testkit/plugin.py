"""pytest fixtures over real servers; loaded by the entry point `pytest11`."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import redis

from localservers.executables import MissingProgramError
from localservers.postgres import PostgresCluster
from localservers.waiting import wait_until
from testkit import redis_topologies
from testkit.collector import CollectorProcess
from testkit.mariadb import MariadbServer, running_mariadb
from testkit.postgres import running_cluster
from testkit.redis_server import RedisServer
from testkit.source_databases import SOURCE_KINDS, SourceDatabase, make_source_database

if TYPE_CHECKING:
    from testkit.s3_server import S3Server

CHECKOUT = Path(__file__).parents[4]
UNTIL_SECONDS = 60.0


@pytest.fixture
def until() -> Callable[..., float]:
    """`until(condition)` polls quickly and fails after a minute, or `within` (s)."""
    return partial(wait_until, within=UNTIL_SECONDS, every=0.01, what="what the test waits for")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with the stack's configuration; a test that stops it has to restart it."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    with redis.Redis.from_url(redis_server.url, socket_timeout=5) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> "Iterator[S3Server]":
    """An empty bucket, and the environment by which S3 clients find it."""
    # Imported here: their half a second is not for each test program.
    from s3fs import S3FileSystem

    from testkit.s3_server import S3Server

    with S3Server() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        S3FileSystem.clear_instance_cache()
        yield server
    S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that only accepts TLS."""
    with redis_topologies.with_tls(tmp_path_factory.mktemp("redis-tls")) as server:
        yield server


@pytest.fixture(scope="session")
def watched_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_topologies.SentinelSetup]:
    """A Redis behind sentinels; a test that kills its master has to restart it."""
    with redis_topologies.behind_sentinels(tmp_path_factory.mktemp("redis-sentinels")) as watched:
        yield watched


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """A Redis Cluster of three masters; a test that kills one has to restart it."""
    with redis_topologies.as_cluster(tmp_path_factory.mktemp("redis-cluster")) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresCluster]:
    """A PostgreSQL cluster for the session, without fsync."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_server: PostgresCluster) -> Iterator[str]:
    """The SQLAlchemy URL of a new database for the test."""
    name = f"test_{uuid4().hex}"
    postgres_server.ensure_database(name)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariadbServer]:
    """A MariaDB server for the session."""
    with running_mariadb() as server:
        yield server


@pytest.fixture
def mariadb_url(mariadb_server: MariadbServer) -> Iterator[str]:
    """The SQLAlchemy URL of a new MariaDB database for the test."""
    name = f"test_{uuid4().hex}"
    mariadb_server.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield mariadb_server.url(name)
    mariadb_server.run(f"DROP DATABASE {name}")


@pytest.fixture(params=SOURCE_KINDS)
def source_database(request: pytest.FixtureRequest, tmp_path: Path) -> SourceDatabase:
    """An empty user's database, once of each readable kind."""
    return make_source_database(request.param, request, tmp_path)


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A Sentry-compatible collector that stores an event before it answers."""
    try:
        with CollectorProcess(CHECKOUT, tmp_path_factory.mktemp("collector")) as running:
            yield running
    except MissingProgramError as error:
        pytest.fail(str(error))
