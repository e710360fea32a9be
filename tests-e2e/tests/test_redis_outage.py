"""Redis is killed and kept down while requests run: answers are degraded, none fails, and the fault is reported."""

import time

import httpx

from harness import TIMEOUT_SECONDS, RunningStack


def test_requests_survive_the_death_of_redis_and_it_is_reported(stack: RunningStack) -> None:
    # In a process that has run for a while, the fault may be a repeat of the last minute, without an event of its own.
    stack.kill("recommender-api")
    stack.wait_until(stack.answers, within=60, what="recommender-api answers again")
    stack.wait_until_normal()
    request_id = f"e2e-redis-{time.time_ns()}"
    stack.programs.hold_down("redis")
    try:
        answers = [
            stack.api.get(f"/similar/{stack.dataset_id}?limit=5", headers={"X-Request-ID": f"{request_id}.{number}"})
            for number in range(50)
        ]
        cold = stack.api.get(
            f"/similar/{stack.cold_dataset_id}?limit=5", headers={"X-Request-ID": f"{request_id}.cold"}
        )
        others = [
            stack.api.get(path)
            for path in (
                f"/recommend/detail/{stack.dataset_id}?user_id={stack.user_id}",
                f"/recommend/user/{stack.user_id}",
                "/hot/trending?timeframe=1h",
            )
        ]
    finally:
        stack.programs.bring_back("redis")
    stack.note("seconds from Redis answering to level 0", stack.wait_until_normal())

    assert [answer.status_code for answer in (*answers, cold, *others)] == [200] * 54
    assert {answer.json()["fallback_level"] for answer in answers} == {2}
    assert {answer.json()["degrade_reason"] for answer in answers} == {"redis_unavailable"}
    assert all(len(answer.json()["items"]) == 5 and answer.json()["degraded"] for answer in answers)
    assert cold.json()["fallback_level"] == 3
    assert [answer.json()["fallback_level"] for answer in others] == [2, 3, 2]

    # For each point the first report is sent at once, and its repeats as one event with their count.
    for point, level, breadcrumb, first in (
        ("redis.connection_failed", "warning", None, f"{request_id}.0"),
        ("fallback.redis_failed", "warning", "Redis fallback failed", f"{request_id}.0"),
        ("fallback.precomputed_used", "info", "Using precomputed fallback", f"{request_id}.0"),
        ("fallback.static_popular_used", "warning", "Using static popular fallback", f"{request_id}.cold"),
    ):
        event = stack.collector.wait_for(point, within=60, request_id=first)
        assert event["fingerprint"] == point.split(".")
        assert event["level"] == level
        assert event["tags"]["service"] == "recommender-api"
        assert event["tags"]["monitoring_point"] == point
        if breadcrumb:
            assert breadcrumb in {crumb["message"] for crumb in event["breadcrumbs"]}
            assert event["tags"]["degrade_reason"] == "redis_unavailable"

    # And every one of the requests is found by its id, with its incidents.
    headers = {"Authorization": f"Bearer {stack.env['ADMIN_TOKEN']}"}
    with httpx.Client(base_url=stack.env["GATEWAY_URL"], headers=headers, timeout=TIMEOUT_SECONDS) as gateway:
        last = gateway.build_request("GET", f"/requests/{request_id}.cold")
        stack.wait_until(lambda: gateway.send(last).status_code == 200, within=60, what="the last request is found")
        found = [gateway.get(f"/requests/{request_id}.{number}").json()["requests"] for number in range(50)]
    assert [(each["level"], each["reason"], each["items"]) for (each,) in found] == [(2, "redis_unavailable", 5)] * 50
    assert all(each["incident_ids"] for (each,) in found)


def test_a_hung_redis_costs_no_answer(stack: RunningStack) -> None:
    with stack.programs.frozen("redis"):
        answers = [stack.api.get(f"/similar/{stack.dataset_id}?limit=5") for _ in range(20)]
    assert [answer.status_code for answer in answers] == [200] * 20
    assert answers[-1].json()["fallback_level"] == 2
    stack.wait_until_normal()
