"""Text ids: accepted in either form, shown in every answer, and never confused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from contracts import redis_keys
from contracts.ids import hash_id
from ranking.testing import FIRST_DATASET_ID, Size, text_id, tiny_archive
from recommender_api.recommendations.schemas import Answer
from testkit.fake_registry import FakeRegistry
from testkit.running_app import RunningApp

Start = Callable[..., RunningApp]
SKU, NAMED = text_id(12), text_id(13)
USER = "c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa"


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose datasets, except the first, have text ids."""
    return tiny_archive(tmp_path_factory.mktemp("text-ids") / "b.tar.gz", version="3", size=Size(80, 5, text_ids=True))


@pytest.fixture
def api(archive: Path, registry: FakeRegistry, start: Start) -> RunningApp:
    """The service with that bundle."""
    registry.deploy(registry.push("3", archive))
    return start()


def path_of(text: str) -> str:
    return quote(text, safe="")


def ask(api: RunningApp, url: str) -> dict[str, Any]:
    """Return an answer; `RunningApp.ask` takes no query in the path."""
    response = api.http.get(url)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def without_request_id(body: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(body)
    del answer["request_id"]
    return answer


@pytest.mark.parametrize("text", [SKU, NAMED])
def test_a_dataset_is_requested_by_its_text_or_by_the_number_of_the_text(api: RunningApp, text: str) -> None:
    by_text = api.http.get(f"/similar/{path_of(text)}?limit=20")
    assert by_text.status_code == 200
    answer = Answer.model_validate_json(by_text.content, strict=True)
    assert (answer.dataset_id, answer.external_id) == (hash_id(text, "dataset"), text)
    assert without_request_id(api.http.get(f"/similar/{answer.dataset_id}?limit=20").content) == without_request_id(
        by_text.content
    )


def test_every_item_with_a_text_id_names_it_beside_the_number(api: RunningApp) -> None:
    for path in (f"/similar/{path_of(SKU)}", f"/recommend/user/{USER}", "/hot/trending", "/similar/101"):
        for explain in ("", "&explain=true"):
            items = ask(api, f"{path}?limit=50{explain}")["items"]
            assert items
            for item in items:
                assert next(iter(item)) == "dataset_id"
                if item["dataset_id"] == FIRST_DATASET_ID:
                    assert "external_id" not in item
                else:
                    assert item["dataset_id"] == hash_id(item["external_id"], "dataset")


def test_an_answer_shows_the_external_id_of_the_path_and_of_the_user(api: RunningApp) -> None:
    detail = ask(api, f"/recommend/detail/{path_of(NAMED)}?user_id={USER}")
    assert list(detail)[:5] == ["request_id", "dataset_id", "external_id", "user_id", "user_external_id"]
    assert (detail["external_id"], detail["user_external_id"]) == (NAMED, USER)
    assert detail["user_id"] == hash_id(USER, "user")
    user = ask(api, f"/recommend/user/{USER}")
    assert (user["user_id"], user["external_id"]) == (hash_id(USER, "user"), USER)
    assert not {"user_external_id", "dataset_id"} & set(user)
    numbers = ask(api, "/recommend/detail/101?user_id=7")
    assert not {"external_id", "user_external_id"} & set(numbers)


def test_a_cached_answer_shows_the_id_of_the_current_caller(api: RunningApp) -> None:
    by_text = ask(api, f"/recommend/user/{USER}")
    by_number = ask(api, f"/recommend/user/{hash_id(USER, 'user')}")
    assert by_number["items"] == by_text["items"]
    assert "external_id" not in by_number


def test_excluded_texts_are_not_in_the_answer_even_if_they_contain_a_comma(api: RunningApp) -> None:
    shown = [item["external_id"] for item in ask(api, f"/similar/{path_of(SKU)}?limit=5")["items"]]
    plain = [text for text in shown if "," not in text]
    assert 0 < len(plain) < len(shown)
    repeated = "&".join(f"exclude={path_of(text)}" for text in shown)
    for exclude, excluded in ((f"exclude={','.join(plain)}", plain), (repeated, shown)):
        left = ask(api, f"/similar/{path_of(SKU)}?limit=5&{exclude}")["items"]
        assert not {item.get("external_id") for item in left} & set(excluded)


def test_an_unknown_dataset_is_a_404_that_shows_the_id_as_requested(api: RunningApp) -> None:
    for text in ("SKU-0", "no/such thing", "数据", "a%2Fb"):
        refused = api.http.get(f"/similar/{path_of(text)}")
        assert refused.status_code == 404
        assert refused.json()["detail"] == f"Dataset {text} is not in the catalogue of model version 3."


@pytest.mark.parametrize("text", ["0", "1.0", "-1", "1e5", "%C2%A01", "e%CC%81", "%00", "a%0Ab", "x" * 129, "9" * 19])
def test_an_invalid_id_is_rejected_with_a_hint(api: RunningApp, text: str) -> None:
    for path in (f"/similar/{text}", f"/recommend/user/{text}", f"/recommend/detail/101?user_id={text}"):
        refused = api.http.get(path)
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
        assert "id" in refused.json()["errors"][0]["message"]


def test_fast_path_and_framework_write_the_same_bytes(api: RunningApp) -> None:
    for path in (f"/similar/{SKU}", f"/recommend/detail/{SKU}?user_id={USER}", f"/recommend/user/{USER}?exclude={SKU}"):
        long_way = f"{path}{'&' if '?' in path else '?'}explain=false"
        bodies = [api.http.get(url, headers={"X-Request-ID": "both"}).content for url in (path, long_way)]
        assert json.loads(bodies[0])["items"]
        # A different query to the cache, but the same answer otherwise.
        assert bodies[0] == bodies[1]


def test_the_last_good_answer_shows_the_texts_too(
    api: RunningApp, redis_client: redis.Redis, until: Callable[..., None]
) -> None:
    first = ask(api, f"/similar/{path_of(NAMED)}")
    until(lambda: redis_client.keys(redis_keys.last_good("*")))
    redis_client.delete(*redis_client.keys("last:*"), *redis_client.keys("res:*"))
    assert ask(api, f"/similar/{path_of(NAMED)}")["items"] == first["items"]
