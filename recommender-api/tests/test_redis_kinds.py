"""A Redis of several servers loses one: no request fails, and answers become normal again without manual action."""

import time
from collections.abc import Callable

from recommender_api.settings import Settings
from testkit.redis_server import RedisServer
from testkit.redis_topologies import SentinelSetup, cluster_url
from testkit.running_app import RunningApp

# Sentinels need half a second to declare the master dead, and then agree on a new one.
FAIL_OVER_SECONDS = 20
EVENT = {"type": "view", "user_id": 7, "dataset_id": 105, "ts": "2026-01-01T00:00:00Z"}


def levels_until_normal(api: RunningApp, within: float) -> list[int]:
    """Send requests until ten answers in a row are level 0, and return all levels; a failed request raises."""
    levels: list[int] = []
    deadline = time.monotonic() + within
    while levels[-10:] != [0] * 10:
        assert time.monotonic() < deadline, f"not normal again: {levels[-10:]}"
        levels.append(int(api.ask(f"/recommend/detail/{105 + len(levels) % 50}?user_id=7")["fallback_level"]))
        time.sleep(0.01)
    return levels


def take_event(api: RunningApp, event_id: str) -> int:
    body = {"events": [{"event_id": event_id, **EVENT}]}
    return int(api.post("/events", body, token="events-token-of-the-tests").json()["accepted"])


def test_when_sentinels_make_another_server_master_it_is_found(
    start: Callable[..., RunningApp], watched_redis: SentinelSetup, until: Callable[..., None]
) -> None:
    api = start(redis_url=watched_redis.url)
    levels_until_normal(api, 5)
    assert take_event(api, "e-1") == 1
    master = watched_redis.master()
    master.kill()
    try:
        assert any(levels_until_normal(api, FAIL_OVER_SECONDS)), "no request noticed it"
        assert watched_redis.master() is not master
        until(lambda: api.ask("/health")["checks"]["redis"]["status"] == "healthy")
        assert take_event(api, "e-2") == 1
        assert take_event(api, "e-2") == 0
    finally:
        master.restart()
    assert not any(levels_until_normal(api, 5))


def test_a_cluster_that_lost_a_node_is_used_again_once_it_is_complete(
    start: Callable[..., RunningApp], redis_cluster: list[RedisServer], until: Callable[..., None]
) -> None:
    api = start(redis_url=cluster_url(redis_cluster))
    levels_until_normal(api, 5)
    assert take_event(api, "e-1") == 1
    redis_cluster[2].kill()
    try:
        until(lambda: api.ask("/recommend/user/7")["fallback_level"] > 0)
        assert take_event(api, "e-2") == 1
    finally:
        redis_cluster[2].restart()
    levels_until_normal(api, 10)
    until(lambda: api.ask("/health")["status"] and not api.ask("/health")["checks"]["events"]["detail"])
    assert take_event(api, "e-2") == 0


def test_passwords_of_every_kind_of_url_are_known_as_secrets(make_settings: Callable[..., Settings]) -> None:
    url = "redis+sentinel://api:first-canary@a,b/mymaster?sentinel_password=second-canary"
    assert {"first-canary", "second-canary"} <= set(make_settings(redis_url=url).secrets())
