import re

import httpx
import pytest

import monitoring.testing
from servicekit.problem_document import MEDIA_TYPE


@pytest.mark.parametrize("given", ["a", "req_0123.abc-XYZ", "x" * 128])
def test_a_callers_request_id_is_taken(client: httpx.Client, given: str) -> None:
    assert client.get("/fine", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "with space", "x" * 129, "semi;colon", "ümlaut".encode()])
def test_any_other_is_replaced_by_one_of_our_own(client: httpx.Client, given: str | bytes) -> None:
    answered = client.get("/fine", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert re.fullmatch(r"req_[0-9a-f]{12}", answered)


def test_every_answer_says_how_long_it_took(client: httpx.Client) -> None:
    assert 0 < float(client.get("/fine").headers["x-response-time"]) < 5


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("DELETE", "/fine", 405),
        ("GET", "/fine?limit=9", 422),
        ("GET", "/known-error", 409),
        ("GET", "/service-error", 409),
        ("POST", "/body", 401),
        ("GET", "/crash/luck", 500),
    ],
)
def test_every_error_is_a_problem_with_the_requests_id(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path, headers={"X-Request-ID": "asked"})
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert set(body) == {"type", "title", "status", "detail", "instance", "request_id", "errors"}
    assert (body["status"], body["request_id"], body["instance"]) == (status, "asked", path.partition("?")[0])


def test_a_wrong_field_is_named(client: httpx.Client) -> None:
    errors = client.get("/fine?limit=9").json()["errors"]
    assert errors == [{"field": "query.limit", "message": "Input should be less than or equal to 5"}]


@pytest.mark.parametrize("body", [b'{"amount": ', b'{"amount": "\xff"}'])
def test_a_body_that_is_no_json_is_named(client: httpx.Client, body: bytes) -> None:
    headers = {"Authorization": "Bearer the-token", "Content-Type": "application/json"}
    refused = client.post("/body", content=body, headers=headers)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"].startswith("body")


def test_an_errors_headers_go_along(client: httpx.Client) -> None:
    assert client.get("/known-error").headers["retry-after"] == "7"


@pytest.mark.parametrize("token", [None, "Bearer wrong", "Basic the-token", "Bearer the-token2"])
def test_only_the_token_opens(client: httpx.Client, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": token}
    refused = client.post("/body", json={"amount": 1}, headers=headers)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert client.post("/body", json={"amount": 1}, headers={"Authorization": "Bearer the-token"}).status_code == 200


def test_a_crash_is_reported_by_its_route_and_tells_the_caller_nothing(client: httpx.Client) -> None:
    with monitoring.testing.captured() as reports:
        answer = client.get("/crash/luck", headers={"X-Request-ID": "asked"})
    assert "luck" not in answer.json()["detail"]
    (report,) = reports.of("api.unhandled")
    assert report.fingerprint == ("api", "/crash/{thing}", "RuntimeError")
    assert (report.tags["request_id"], report.tags["method"]) == ("asked", "GET")


def test_a_crash_in_the_middle_of_an_answer_is_reported_too(client: httpx.Client) -> None:
    with monitoring.testing.captured() as reports, pytest.raises(httpx.RemoteProtocolError):
        client.get("/crash-later")
    assert reports.point_ids == ["api.unhandled"]
