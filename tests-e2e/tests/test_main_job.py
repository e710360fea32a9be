"""From business data to an answer, through the real parts: the stack was filled by its own Airflow DAG."""

import httpx
import pytest
import redis

from harness import RunningStack


def test_the_stack_trained_through_airflow(stack: RunningStack) -> None:
    runs = stack.airflow.get("/api/v2/dags/recommendation_pipeline/dagRuns").json()["dag_runs"]
    # Another run starts by itself every night.
    assert [run["state"] for run in runs if run["run_type"] == "manual" and not run["conf"]] == ["success"]


# The channels of each kind of query; without a history, transitions are those of the dataset.
_OF_A_DATASET = {"behavior", "content", "vector", "transition", "popular", "popular_30d"}
_OF_A_HISTORY = {"history", "recent"}


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/similar/{dataset}?limit=5", _OF_A_DATASET),
        ("/recommend/detail/{dataset}?user_id={user}&limit=5", _OF_A_DATASET | _OF_A_HISTORY),
        ("/recommend/user/{user}?limit=5", _OF_A_DATASET - {"behavior"} | _OF_A_HISTORY),
        ("/hot/trending?timeframe=24h&limit=5", {"popular", "trending"}),
        ("/hot/trending?timeframe=1h&limit=5", {"popular", "trending"}),
    ],
)
def test_every_endpoint_answers_from_the_trained_model(stack: RunningStack, path: str, known: set[str]) -> None:
    response = stack.api.get(path.format(dataset=stack.dataset_id, user=stack.user_id))
    answer = response.json()
    assert response.status_code == 200, answer
    assert (answer["degraded"], answer["fallback_level"], response.headers["X-Fallback-Level"]) == (False, 0, "0")
    assert answer["model_version"] == stack.active_version()
    assert len(answer["items"]) == 5
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    titles = stack.titles
    for item in answer["items"]:
        assert item["title"] == titles[item["dataset_id"]]
        assert item["reasons"]
        assert set(item["reasons"]) <= known


def test_filters_hold(stack: RunningStack) -> None:
    first = stack.api.get(f"/similar/{stack.dataset_id}", params={"limit": 5}).json()["items"][0]
    items = stack.api.get(
        f"/similar/{stack.dataset_id}", params={"limit": 20, "exclude": first["dataset_id"], "max_price": 50}
    ).json()["items"]
    assert items
    assert first["dataset_id"] not in {item["dataset_id"] for item in items}
    assert stack.dataset_id not in {item["dataset_id"] for item in items}
    assert all(item["price"] <= 50 for item in items)


def test_an_unknown_dataset_is_404_and_an_unknown_user_counts_as_new(stack: RunningStack) -> None:
    missing = stack.api.get("/similar/987654321", headers={"X-Request-ID": "e2e-404"})
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json()["request_id"] == "e2e-404"
    cold = stack.api.get("/recommend/user/987654321?limit=5").json()
    assert (len(cold["items"]), cold["fallback_level"]) == (5, 0)


def test_the_snapshot_is_in_redis_under_one_pointer(stack: RunningStack) -> None:
    with redis.Redis.from_url(stack.env["REDIS_URL"], socket_timeout=5) as client:
        version = client.get("fs:ptr")
        assert version is not None
        assert client.exists(f"fs:{version.decode()}:u:{stack.user_id}") == 1


def test_a_behaviour_event_reaches_the_log_and_the_next_answer(stack: RunningStack) -> None:
    user = 900_000_001
    before = stack.api.get(f"/recommend/user/{user}?limit=20").json()["items"]
    bought = before[0]["dataset_id"]
    event = {
        "event_id": "e2e-event-1",
        "type": "purchase",
        "user_id": user,
        "dataset_id": bought,
        "ts": stack.now_iso(),
    }
    headers = {"Authorization": f"Bearer {stack.env['EVENTS_TOKEN']}"}
    first = stack.api.post("/events", json={"events": [event]}, headers=headers)
    again = stack.api.post("/events", json={"events": [event]}, headers=headers)
    assert (first.status_code, first.json()) == (202, {"accepted": 1, "duplicates": 0})
    assert again.json() == {"accepted": 0, "duplicates": 1}

    def bought_is_gone() -> bool:
        items = stack.api.get(f"/recommend/user/{user}?limit=20").json()["items"]
        return bought not in {item["dataset_id"] for item in items}

    stack.wait_until(bought_is_gone, within=60, what="the purchase changes the user's answer")

    def rows() -> int:
        logged = "SELECT count(*) FROM events.behavior_events WHERE event_id = 'e2e-event-1'"
        return int(stack.query("DATABASE_URL", logged)[0][0])

    stack.wait_until(lambda: rows() == 1, within=60, what="the event is in PostgreSQL once")


def test_events_without_a_token_are_rejected(stack: RunningStack) -> None:
    refused: httpx.Response = stack.api.post("/events", json={"events": []})
    assert refused.status_code == 401
