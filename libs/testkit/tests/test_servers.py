import time
from signal import SIGKILL

import psycopg2
import pytest
import redis
import sentry_sdk

from testkit.collector import CollectorProcess
from testkit.redis_server import RedisServer


def test_an_acknowledged_write_survives_a_kill_of_redis(redis_server: RedisServer, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("kept", "yes")
        redis_server.kill()
        with pytest.raises(redis.ConnectionError):
            client.get("kept")
        redis_server.restart()
        assert client.get("kept") == b"yes"


def test_a_frozen_redis_accepts_connections_and_answers_nothing(redis_server: RedisServer, redis_url: str) -> None:
    redis_server.freeze()
    try:
        with (
            redis.Redis.from_url(redis_url, socket_timeout=0.1, retry=None) as client,
            pytest.raises(redis.TimeoutError),
        ):
            client.ping()
    finally:
        redis_server.thaw()


def test_each_test_has_a_database_of_its_own(postgres_url: str) -> None:
    with psycopg2.connect(postgres_url.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert cursor.fetchone() == (0,)
    connection.close()


def test_the_collector_stores_received_events(collector: CollectorProcess) -> None:
    client = sentry_sdk.Client(collector.dsn, default_integrations=False)
    client.capture_event({"message": "hello", "tags": {"monitoring_point": "some.point"}, "fingerprint": ["a", "b"]})
    client.close(timeout=10)
    event = collector.wait_for("some.point")
    assert (event["fingerprint"], event["tags"]["monitoring_point"]) == (["a", "b"], "some.point")


def test_a_killed_collector_releases_its_port_for_the_next_one(collector: CollectorProcess) -> None:
    collector.stop(SIGKILL)
    # One request: a worker without a master ends by itself at its first request.
    time.sleep(1)
    assert not collector.listens()
    collector.start()
