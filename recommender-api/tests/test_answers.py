"""Answers while everything works: over HTTP, with a real Redis."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import redis

import monitoring.testing
from contracts import redis_keys
from contracts.events import Exposure, InteractionType, read_entry
from contracts.user_blob import LiveHistory
from ranking.testing import FIRST_DATASET_ID
from recommender_api.models.serving import LoadedModel
from recommender_api.recommendations.schemas import Answer
from testkit.running_app import RunningApp

Until = Callable[..., None]

PATHS = [
    "/similar/105",
    "/recommend/detail/105",
    "/recommend/detail/105?user_id=7",
    "/recommend/user/7",
    "/hot/trending",
    "/hot/trending?timeframe=1h",
]


def view(client: redis.Redis, user_id: int, dataset_id: int, sequence: int = 0) -> None:
    """Put a view at the head of a user's live history, as feature-sync does."""
    live = LiveHistory(sequence).append(
        np.array([dataset_id]), np.array([1_767_225_600]), np.array([InteractionType.VIEW], np.uint8)
    )
    client.set(redis_keys.live_history(user_id), live.pack())


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["dataset_id"] for item in answer["items"]]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("explain", [False, True])
def test_every_answer_matches_the_openapi_document(api: RunningApp, path: str, explain: bool) -> None:
    with monitoring.testing.captured() as reports:
        response = api.http.get(f"{path}{'&' if '?' in path else '?'}explain={explain}")
    answer = Answer.model_validate_json(response.content, strict=True)
    assert set(response.json()) - {"dataset_id", "user_id", "timeframe"} == {
        name for name, field in Answer.model_fields.items() if field.is_required()
    }
    assert (answer.fallback_level, answer.degraded, answer.degrade_reason) == (0, False, None)
    assert (answer.model_version, answer.model_variant, answer.experiment_variant) == ("1", "primary", None)
    assert response.headers["X-Fallback-Level"] == "0"
    assert response.headers["X-Request-ID"] == answer.request_id
    assert float(response.headers["X-Response-Time"]) > 0
    assert len(answer.items) == 10
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert all(item.reasons and (item.explanation is not None) == explain for item in answer.items)
    assert reports == []


def test_contributions_add_up_to_the_score(api: RunningApp) -> None:
    for item in api.ask("/recommend/detail/105", explain=True)["items"]:
        explanation = item["explanation"]
        raw = explanation["base"] + sum(explanation["contributions"].values())
        assert 1 / (1 + np.exp(-raw)) == pytest.approx(item["score"], abs=1e-4)
        assert set(explanation["channels"]) <= set(item["reasons"])


@pytest.mark.parametrize("path", PATHS)
def test_filters_hold(api: RunningApp, model: LoadedModel, path: str) -> None:
    url = f"{path}{'&' if '?' in path else '?'}limit=20"
    first, second, *_ = ids(api.http.get(url).json())
    answer = api.http.get(f"{url}&exclude={first},{second}&exclude=105&max_price=250&tag=WEATHER").json()
    assert answer["items"]
    catalogue = model.engine.contents.catalogue
    for item in answer["items"]:
        assert item["dataset_id"] not in (first, second, 105)
        assert item["price"] <= 250
        assert "weather" in catalogue.tags[catalogue.position(item["dataset_id"])]
    assert answer["fallback_level"] == 0


def test_a_narrow_filter_reaches_items_that_no_channel_proposes_and_an_impossible_one_is_not_a_fault(
    api: RunningApp,
) -> None:
    with monitoring.testing.captured() as reports:
        excluded = ",".join(str(FIRST_DATASET_ID + n) for n in range(199))
        last = api.ask("/similar/105", exclude=excluded)
        nothing = api.ask("/similar/105", tag="no such tag")
    assert (ids(last), last["fallback_level"]) == ([FIRST_DATASET_ID + 199], 0)
    assert (nothing["items"], nothing["fallback_level"], nothing["degraded"]) == ([], 0, False)
    assert reports == []


def test_a_dataset_is_not_recommended_for_itself_nor_to_a_user_who_has_seen_it(
    api: RunningApp, redis_client: redis.Redis
) -> None:
    seen = ids(api.ask("/recommend/user/7", limit=50))[0]
    view(redis_client, 7, seen)
    assert seen not in ids(api.ask("/recommend/user/7", limit=50))
    assert 105 not in ids(api.ask("/similar/105", limit=50))


def test_an_unknown_user_and_a_cold_dataset_get_ranked_answers(api: RunningApp) -> None:
    for path in ("/recommend/user/9223372036854775807", f"/similar/{FIRST_DATASET_ID + 199}"):
        answer = api.ask(path)
        assert (len(answer["items"]), answer["fallback_level"]) == (10, 0)


def test_a_cached_answer_has_its_own_request_id_and_logs_its_own_exposure(
    api: RunningApp, redis_client: redis.Redis, until: Until
) -> None:
    first = api.ask("/recommend/user/7", request_id="first", limit=3)
    until(lambda: redis_client.xlen(redis_keys.EVENT_STREAM) == 1)
    second = api.ask("/recommend/user/7", request_id="second", limit=3)
    until(lambda: redis_client.xlen(redis_keys.EVENT_STREAM) == 2)
    assert (first.pop("request_id"), second.pop("request_id")) == ("first", "second")
    assert first == second
    assert "recommender_cached_answers_total 1.0" in api.get("/metrics").text
    entries = redis_client.xrange(redis_keys.EVENT_STREAM)
    shown = [read_entry(fields) for _, fields in entries]
    assert all(isinstance(each, Exposure) for each in shown)
    assert [
        each.model_dump(exclude={"exposure_id", "ts", "channels"}) for each in shown if isinstance(each, Exposure)
    ] == [
        {
            "user_id": 7,
            "dataset_ids": ids(first),
            "request_id": request_id,
            "endpoint": "/recommend/user",
            "model_version": "1",
            "model_variant": "primary",
            "experiment_variant": None,
            "fallback_level": 0,
            "scores": [item["score"] for item in first["items"]],
            "propensity": None,
        }
        for request_id in ("first", "second")
    ]
    reasons = ["+".join(item["reasons"]) for item in first["items"]]
    assert [each.channels for each in shown if isinstance(each, Exposure)] == [reasons, reasons]


@pytest.mark.parametrize(("share", "logged"), [(0.0, 0), (1.0, 6)])
def test_answers_to_nobody_are_logged_by_share_and_only_while_readers_take_them(
    start: Callable[..., RunningApp], redis_client: redis.Redis, until: Until, share: float, logged: int
) -> None:
    api = start(exposure_anonymous_share=share)
    for _ in range(3):
        api.ask("/similar/105")
    until(lambda: redis_client.keys("res:*"))
    redis_client.set(redis_keys.TAKES_ANONYMOUS, "")
    for path in ["/similar/106"] * 6:
        api.ask(path)
    # In order behind those of nobody.
    api.ask("/recommend/user/7", limit=2)
    until(lambda: redis_client.xlen(redis_keys.EVENT_STREAM) == logged + 1)
    users = [read_entry(fields).user_id for _, fields in redis_client.xrange(redis_keys.EVENT_STREAM)]
    assert users == [None] * logged + [7]


def test_a_users_new_interaction_makes_the_cached_answer_stale(
    api: RunningApp, redis_client: redis.Redis, until: Until
) -> None:
    before = api.ask("/recommend/user/7")
    until(lambda: redis_client.keys("res:*"))
    view(redis_client, 7, 120)
    after = api.ask("/recommend/user/7")
    assert ids(after) != ids(before)
    assert "history" in {reason for item in after["items"] for reason in item["reasons"]}
    assert "recommender_cached_answers_total 0.0" in api.get("/metrics").text


def test_different_queries_have_different_cached_answers(api: RunningApp, redis_client: redis.Redis) -> None:
    for parameters in ({}, {"limit": 5}, {"exclude": "110"}, {"max_price": 100}, {"tag": "demo"}, {"explain": True}):
        api.ask("/similar/105", **parameters)
    api.ask("/recommend/detail/105")
    assert "recommender_cached_answers_total 0.0" in api.get("/metrics").text


def test_live_counts_lead_the_trends(api: RunningApp, redis_client: redis.Redis) -> None:
    redis_client.zadd(redis_keys.hot("1h"), {"180": 9.0, "181": 4.5, "999999": 20.0})
    answer = api.ask("/hot/trending", timeframe="1h", limit=100)
    assert ids(answer)[:2] == [180, 181]
    assert len(set(ids(answer))) == len(ids(answer)) == 100
    assert answer["items"][0]["reasons"] == ["trending"]
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


def test_unknown_datasets_never_push_known_ones_out_of_the_trends(
    api: RunningApp, redis_client: redis.Redis, until: Until
) -> None:
    unknown = {str(number): 100.0 for number in range(1_000_000, 1_020_000)}
    redis_client.zadd(redis_keys.hot("1h"), {**unknown, "180": 9.0, "181": 4.5})
    # A request reads some pages; the next one goes on.
    until(lambda: ids(api.ask("/hot/trending", timeframe="1h", limit=5))[:2] == [180, 181])
    assert api.ask("/hot/trending", timeframe="1h", limit=5)["degraded"] is False
    redis_client.zincrby(redis_keys.hot("1h"), 7.0, "181")
    until(lambda: ids(api.ask("/hot/trending", timeframe="1h", limit=5))[:2] == [181, 180])


def test_foreign_members_and_infinite_counts_are_left_out_of_the_trends(
    api: RunningApp, redis_client: redis.Redis
) -> None:
    redis_client.zadd(redis_keys.hot("1h"), {"nobody's": 9.0, "180": 4.5, "181": float("inf"), "-3": 2.0})
    answer = api.ask("/hot/trending", timeframe="1h", limit=5)
    assert (ids(answer)[0], answer["items"][0]["score"]) == (180, 1.0)
    assert all(0 < item["score"] <= 1 for item in answer["items"])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/similar/0", "dataset_id"),
        ("/similar/9223372036854775808", "dataset_id"),
        ("/similar/1.0", "dataset_id"),
        ("/recommend/user/-1", "user_id"),
        ("/recommend/detail/105?user_id=0", "user_id"),
        ("/similar/105?limit=51", "limit"),
        ("/hot/trending?limit=101", "limit"),
        ("/hot/trending?timeframe=2h", "timeframe"),
        ("/similar/105?exclude=1,-2", "exclude"),
        ("/similar/105?exclude=0", "exclude"),
        ("/similar/105?max_price=-1", "max_price"),
        ("/similar/105?max_price=nan", "max_price"),
        ("/similar/105?tag=", "tag"),
        ("/similar/105?max_prize=5", "max_prize"),
    ],
)
def test_invalid_input_gets_a_problem_that_names_the_field(api: RunningApp, path: str, field: str) -> None:
    response = api.http.get(path)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert any(field in error["field"] for error in response.json()["errors"])


def test_an_unknown_dataset_is_404(api: RunningApp) -> None:
    for path in ("/similar/999", "/recommend/detail/999?user_id=7"):
        response = api.http.get(path, headers={"X-Request-ID": "r-404"})
        assert response.status_code == 404
        assert response.json()["request_id"] == "r-404"
        assert "999" in response.json()["detail"]


def test_without_any_model_the_answer_is_503_and_the_service_not_ready(
    start: Callable[..., RunningApp], registry: Any
) -> None:
    registry.active = None
    api = start(ready=False)
    for path in ("/similar/105", "/recommend/user/7", "/hot/trending", "/ready"):
        response = api.http.get(path)
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
    health = api.ask("/health")
    assert (health["status"], health["checks"]["model"]["status"]) == ("degraded", "unhealthy")


def test_the_openapi_document_names_every_answer_and_error(api: RunningApp) -> None:
    document = api.get("/openapi.json").json()
    for path in ("/similar/{dataset_id}", "/recommend/detail/{dataset_id}", "/recommend/user/{user_id}"):
        operation = document["paths"][path]["get"]
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert {"limit", "exclude", "max_price", "tag", "explain"} <= names
        assert {"200", "422", "500", "503"} <= set(operation["responses"])
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Answer"}
        assert "X-Fallback-Level" in operation["responses"]["200"]["headers"]
    assert "examples" in json.dumps(document["components"]["schemas"]["Answer"])
