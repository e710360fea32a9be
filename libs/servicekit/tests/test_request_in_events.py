"""Events of a service carry their request and what its handlers set by `sentry_sdk`, and nothing of other requests."""

import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import sentry_sdk
from fastapi import FastAPI

import monitoring
from monitoring import MonitoringSettings
from servicekit.app import base_app
from servicekit.fast_routes import FastRoute, Reply
from servicekit.http_protocol import HttpProtocol
from testkit.fake_server import FakeServer
from testkit.serving import Served

# Both requests of a pair have set their tags before either reports.
_pair = threading.Barrier(2)


@asynccontextmanager
async def _nothing_to_open(_: FastAPI) -> AsyncIterator[None]:
    yield


def _set_and_report(number: str) -> None:
    sentry_sdk.set_tag(f"only_{number}", number)
    sentry_sdk.set_user({"id": number})
    _pair.wait(30)
    monitoring.report("pipeline.database", error=OSError(), operation=number, database="b")


async def _answer_fast(request_id: str) -> Reply:
    sentry_sdk.set_tag("way", "fast")
    monitoring.report("pipeline.database", error=OSError(), operation=request_id, database="b")
    return Reply(200, b"content-length: 0\r\n", b"")


def _match_fast_route(path: str, query_string: bytes) -> FastRoute | None:
    return FastRoute("/fast/{thing}", _answer_fast) if path.startswith("/fast/") else None


@pytest.fixture
def collector() -> Iterator[FakeServer]:
    running = FakeServer()
    running.start()
    monitoring.init("sample", MonitoringSettings(sentry_dsn=running.dsn), secrets=["configured-canary"])
    yield running
    monitoring.shutdown()
    running.stop()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    app = base_app("recsys-servicekit", "sample", lifespan=_nothing_to_open, description="For tests.")

    @app.get("/pair/{number}")
    def pair(number: str) -> None:
        _set_and_report(number)

    @app.get("/people/{user_id}/books/{book}")
    def books(user_id: str, book: str) -> None:
        raise RuntimeError("no books")

    @app.get("/crash")
    def crash(limit: int = 1, token: str = "", user_id: str = "", user: str = "", text: str = "") -> None:
        # On a thread of the pool; the middleware reports it on the event loop.
        sentry_sdk.set_tag("set_in", "handler")
        sentry_sdk.add_breadcrumb(message="about to crash")
        raise RuntimeError("crashed")

    app.state.match_fast_route = _match_fast_route
    with Served(app, http=HttpProtocol) as served, httpx.Client(base_url=served.url) as made:
        yield made


def _events(collector: FakeServer) -> dict[str, dict[str, Any]]:
    monitoring.flush(10)
    return {event["tags"].get("operation") or event["tags"]["endpoint"]: event for event in collector.events}


def test_an_event_carries_method_url_query_and_the_headers_of_the_allow_list(
    client: httpx.Client, collector: FakeServer
) -> None:
    sent = {
        "X-Request-ID": "req-1",
        "Authorization": "Bearer header-canary",
        "Cookie": "session=cookie-canary",
        "X-Forwarded-For": "203.0.113.9",
        "X-Api-Key": "key-canary",
        "User-Agent": "tests configured-canary",
    }
    client.get("/crash?limit=3&token=query-canary&user_id=li.wei@example.com&user=7", headers=sent)
    event = _events(collector)["/crash"]
    assert event["request"]["method"] == "GET"
    assert event["request"]["url"] == f"{client.base_url}/crash"
    assert event["request"]["query_string"] == "limit=3&token=[redacted]&user_id=[redacted]&user=7"
    assert event["request"]["headers"].items() >= {"x-request-id": "req-1", "user-agent": "tests [redacted]"}.items()
    assert set(event["request"]["headers"]) <= {"accept", "host", "user-agent", "x-request-id"}
    assert event["contexts"]["http"] == {"route": "/crash"}
    assert "203.0.113.9" not in str(event["request"])
    assert "-canary" not in str(event)


@pytest.mark.parametrize(("user", "shown"), [("7", "7"), ("li.wei@example.com", "{user_id}")])
def test_a_path_names_users_by_number_only(client: httpx.Client, collector: FakeServer, user: str, shown: str) -> None:
    client.get(f"/people/{user}/books/war")
    event = _events(collector)["/people/{user_id}/books/{book}"]
    assert event["request"]["url"] == f"{client.base_url}/people/{shown}/books/war"
    assert event["contexts"]["http"] == {"route": "/people/{user_id}/books/{book}"}


def test_long_parts_of_a_request_are_cut(client: httpx.Client, collector: FakeServer) -> None:
    client.get(f"/crash?text={'x' * 5_000}", headers={"User-Agent": "y" * 5_000})
    request = _events(collector)["/crash"]["request"]
    assert len(request["query_string"]) == 2_000
    assert len(request["headers"]["user-agent"]) == 200


def test_what_a_handler_sets_on_its_thread_reaches_the_event_of_its_crash(
    client: httpx.Client, collector: FakeServer
) -> None:
    client.get("/crash")
    event = _events(collector)["/crash"]
    assert event["tags"]["set_in"] == "handler"
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["about to crash"]


def test_concurrent_requests_do_not_share_what_they_set(client: httpx.Client, collector: FakeServer) -> None:
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(client.get, ["/pair/1", "/pair/2"]))
    events = _events(collector)
    for mine, other in (("1", "2"), ("2", "1")):
        assert events[mine]["tags"][f"only_{mine}"] == mine
        assert f"only_{other}" not in events[mine]["tags"]
        assert events[mine]["user"] == {"id": mine}
        assert events[mine]["request"]["url"].endswith(f"/pair/{mine}")


def test_a_request_leaves_nothing_for_the_next_one_of_its_connection(
    client: httpx.Client, collector: FakeServer
) -> None:
    client.get("/crash")
    client.get("/fast/thing", headers={"X-Request-ID": "req-2"})
    event = _events(collector)["req-2"]
    assert event["tags"]["way"] == "fast"
    assert "set_in" not in event["tags"]
    assert event["breadcrumbs"]["values"] == []


def test_a_fast_routes_events_carry_the_request_too(client: httpx.Client, collector: FakeServer) -> None:
    client.get("/fast/thing?limit=3", headers={"X-Request-ID": "req-1"})
    event = _events(collector)["req-1"]
    assert (event["request"]["method"], event["request"]["query_string"]) == ("GET", "limit=3")
    assert event["request"]["url"] == f"{client.base_url}/fast/thing"
    assert event["contexts"]["http"] == {"route": "/fast/{thing}"}
