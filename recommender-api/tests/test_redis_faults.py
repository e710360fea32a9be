"""Real faults of a real Redis while requests run: no request fails, and the reason of degraded answers is reported."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

import monitoring.testing
from contracts import redis_keys
from localservers.waiting import wait_until
from ranking.testing import FIRST_DATASET_ID
from testkit.redis_server import RedisServer, changed_settings
from testkit.running_app import RunningApp

Until = Callable[..., None]
COLD = FIRST_DATASET_ID + 199


def level(api: RunningApp) -> int:
    return int(api.ask("/similar/105")["fallback_level"])


def back_to_normal(api: RunningApp) -> float:
    """Return the seconds until answers are level 0."""
    return wait_until(lambda: level(api) == 0, within=60, every=0.01, what="answers are level 0")


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_no_request_fails_while_redis_is_dead_or_hung(
    start: Callable[..., RunningApp], redis_client: redis.Redis, held_redis: RedisServer, until: Until, fault: str
) -> None:
    api = start(redis_budget_ms=25)
    back_to_normal(api)
    until(lambda: redis_client.keys("res:*"))
    with monitoring.testing.captured() as reports:
        held_redis.kill() if fault == "kill" else held_redis.freeze()
        began = time.monotonic()
        answers = [api.ask("/similar/105", request_id=f"r-{number}") for number in range(30)]
        seconds = time.monotonic() - began
        others = [
            api.ask(path)["fallback_level"]
            for path in (f"/similar/{COLD}", "/recommend/detail/105?user_id=7", "/recommend/user/7", "/hot/trending")
        ]
        health = api.ask("/health")
        held_redis.restart() if fault == "kill" else held_redis.thaw()
        recovery = back_to_normal(api)
    assert {(a["fallback_level"], a["degrade_reason"]) for a in answers} == {(2, "redis_unavailable")}
    assert others == [3, 2, 3, 2]
    # Far below the time of 30 requests that wait for Redis until TCP gives up, also on a slow machine.
    assert seconds < 15
    assert recovery < 15
    assert health["checks"]["redis"]["status"] == "unhealthy"
    # A request that the open breaker rejects is reported as well, so that its id can be found.
    for point in ("redis.connection_failed", "fallback.redis_failed", "fallback.precomputed_used"):
        assert {f"r-{number}" for number in range(30)} <= {r.tags["request_id"] for r in reports.of(point)}
    assert len(reports.of("redis.connection_failed")) == len(reports.of("fallback.redis_failed"))
    assert {report.point_id for report in reports.recovered} >= {
        "redis.connection_failed",
        "fallback.redis_failed",
        "fallback.precomputed_used",
        "fallback.static_popular_used",
    }


def test_a_redis_that_restarts_between_requests_reports_nothing(
    api: RunningApp, redis_client: redis.Redis, held_redis: RedisServer, until: Until
) -> None:
    assert level(api) == 0
    until(lambda: redis_client.keys("res:*"))
    with monitoring.testing.captured() as reports:
        held_redis.kill()
        until(lambda: api.ask("/health")["checks"]["redis"]["status"] == "unhealthy")
        held_redis.restart()
        until(lambda: api.ask("/health")["checks"]["redis"]["status"] == "healthy")
        assert level(api) == 0
    assert reports == []


def test_connections_that_died_while_idle_cost_no_answer(
    api: RunningApp, redis_client: redis.Redis, until: Until
) -> None:
    assert level(api) == 0
    until(lambda: redis_client.keys("res:*"))
    with monitoring.testing.captured() as reports:
        redis_client.client_kill_filter(_type="normal", skipme=True)
        assert level(api) == 0
    assert reports == []


@pytest.mark.parametrize(
    ("fault", "error_type"), [("read-only", "ReadOnlyError"), ("out of memory", "OutOfMemoryError")]
)
def test_a_redis_that_rejects_writes_still_serves_and_its_error_is_reported_at_the_first_write(
    api: RunningApp, redis_client: redis.Redis, until: Until, fault: str, error_type: str
) -> None:
    full = {"maxmemory": 1, "maxmemory-policy": "noeviction"} if fault == "out of memory" else {}
    with changed_settings(redis_client, {"replica-read-only": "yes", **full}):
        if fault == "read-only":
            redis_client.replicaof("127.0.0.1", 1)
        try:
            with monitoring.testing.captured() as reports:
                answer = api.ask("/similar/105", request_id="r-write")
                until(lambda: reports)
                accepted = api.post("/events", {"events": [event(1)]}, token="events-token-of-the-tests")
        finally:
            redis_client.replicaof("NO", "ONE")
    assert answer["fallback_level"] == 0
    assert {(r.point_id, r.tags["error_type"]) for r in reports} == {("redis.unexpected_error", error_type)}
    assert reports[0].tags["request_id"] == "r-write"
    assert accepted.json() == {"accepted": 1, "duplicates": 0}
    until(lambda: redis_client.xlen(redis_keys.EVENT_STREAM) == 1)
    with monitoring.testing.captured() as reports:
        api.ask("/similar/106")
        until(lambda: reports.recovered)
    assert {report.point_id for report in reports.recovered} == {"redis.unexpected_error"}


def test_a_wrong_type_is_an_unexpected_error_and_the_next_level_answers(
    api: RunningApp, redis_client: redis.Redis, until: Until
) -> None:
    good = api.ask("/hot/trending")
    until(lambda: redis_client.keys("last:*"))
    redis_client.set(redis_keys.hot("24h"), "not a sorted set")
    with monitoring.testing.captured() as reports:
        answer = api.ask("/hot/trending", request_id="r-type")
    assert (answer["fallback_level"], answer["degrade_reason"]) == (1, "redis_error")
    assert answer["items"] == good["items"]
    assert reports.point_ids == ["redis.unexpected_error"]
    assert reports[0].tags["request_id"] == "r-type"


@pytest.mark.parametrize("key", [redis_keys.live_history(7), redis_keys.user_features("v1", 7)])
def test_a_user_blob_that_does_not_decode_is_reported_and_the_user_counts_as_new(
    start: Callable[..., RunningApp], redis_client: redis.Redis, key: str
) -> None:
    redis_client.set(redis_keys.SNAPSHOT_POINTER, "v1")
    redis_client.set(key, b"garbage")
    api = start()
    with monitoring.testing.captured() as reports:
        answer = api.ask("/recommend/user/7", request_id="r-blob")
    assert (answer["fallback_level"], len(answer["items"])) == (0, 10)
    assert reports.point_ids == ["redis.unexpected_error"]
    assert reports[0].tags["error_type"] == "MalformedBlobError"
    assert reports[0].tags["request_id"] == "r-blob"


def test_rejected_credentials_are_a_connection_failure_and_the_password_is_not_reported(
    start: Callable[..., RunningApp], redis_url: str
) -> None:
    with monitoring.testing.captured() as reports:
        api = start(redis_url=redis_url.replace("redis://", "redis://nobody:wrong-password-canary@"))
        assert level(api) == 2
    failed = reports.of("redis.connection_failed")[0]
    assert failed.tags["error_type"] == "AuthenticationError"
    assert "canary" not in repr(reports)


def event(number: int) -> dict[str, Any]:
    return {
        "event_id": f"e-{number}",
        "type": "view",
        "user_id": 7,
        "dataset_id": 105,
        "ts": "2026-01-01T00:00:00Z",
    }
