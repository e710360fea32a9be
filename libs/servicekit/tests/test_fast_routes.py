"""What is recognized is answered past the application, and a client can tell it by nothing but the time it takes."""

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import monitoring.testing
from servicekit.fast_routes import FastRoute, Reply
from servicekit.http_protocol import HttpProtocol
from testkit.serving import Served

SLOW_SECONDS = 0.2
# uvicorn's default.
KEEP_ALIVE_SECONDS = 5


@pytest.fixture(scope="module")
def app(app: FastAPI) -> FastAPI:
    """The same with a fast route to `/short/{thing}`; some things have it their own way."""

    @app.get("/short/{thing}")
    def long_way(thing: str, unusual: str = "") -> dict[str, str]:
        return {"long": thing}

    app.state.match_fast_route = _match_fast_route
    return app


def _match_fast_route(path: str, query_string: bytes) -> FastRoute | None:
    thing = path.removeprefix("/short/")
    if thing == path or query_string == b"unusual":
        return None

    async def answer(request_id: str) -> Reply:
        if thing == "crash":
            raise RuntimeError("no luck")
        if thing == "cancelled":
            raise asyncio.CancelledError
        if thing == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        body = f'{{"short":"{thing}","request_id":"{request_id}"}}'.encode()
        return Reply(200, b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body), body)

    return FastRoute("/short", answer)


def test_a_plain_question_is_answered_past_the_application(client: httpx.Client) -> None:
    answer = client.get("/short/a", headers={"X-Request-ID": "asked"})
    assert answer.json() == {"short": "a", "request_id": "asked"}


def test_its_answer_has_the_headers_of_every_answer(client: httpx.Client) -> None:
    short, usual = client.get("/short/a"), client.get("/short/a?unusual")
    assert usual.json() == {"long": "a"}
    assert set(short.headers) == set(usual.headers)
    assert re.fullmatch(r"req_[0-9a-f]{12}", short.headers["x-request-id"])
    assert short.json()["request_id"] == short.headers["x-request-id"]
    assert 0 < float(short.headers["x-response-time"]) < 5


@pytest.mark.parametrize("given", ["", "with space", "x" * 129, "semi;colon"])
def test_an_unusable_request_id_is_replaced_here_too(client: httpx.Client, given: str) -> None:
    answered = client.get("/short/a", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert re.fullmatch(r"req_[0-9a-f]{12}", answered)


def test_a_crash_is_a_problem_and_is_reported_as_one_of_the_application_is(client: httpx.Client) -> None:
    with monitoring.testing.captured() as reports:
        short = client.get("/short/crash", headers={"X-Request-ID": "asked"})
    usual = client.get("/crash/luck", headers={"X-Request-ID": "asked"})
    assert (short.status_code, set(short.headers)) == (usual.status_code, set(usual.headers))
    assert short.json() == usual.json() | {"instance": "/short/crash"}
    (report,) = reports.of("api.unhandled")
    assert report.fingerprint == ("api", "/short", "RuntimeError")
    assert (report.tags["request_id"], report.tags["method"]) == ("asked", "GET")
    assert client.get("/short/a").status_code == 200


def test_what_is_cancelled_is_answered_and_reported_too(client: httpx.Client) -> None:
    with monitoring.testing.captured() as reports:
        assert client.get("/short/cancelled").status_code == 500
    assert [report.fingerprint for report in reports] == [("api", "/short", "CancelledError")]
    assert client.get("/short/a").status_code == 200


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    """Open a connection of one's own."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=5) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """Return all that is sent until the server closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /short/a HTTP/1.1\r\nHost: test\r\nConnection: close",
        b"GET /short/a HTTP/1.0\r\nHost: test",
        b"GET /short/a HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nxxGET /nowhere HTTP/1.0",
        b"GET /short/a HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nConnection: close",
        b"GET /short/a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /nowhere HTTP/1.0",
        b"GET /short/a?unusual HTTP/1.1\r\nHost: test\r\nConnection: close",
    ],
)
def test_whatever_is_unusual_about_a_request_is_the_applications(client: httpx.Client, request_head: bytes) -> None:
    with connected(client) as connection:
        connection.sendall(request_head + b"\r\n\r\n")
        received = until_closed(connection)
    assert received.startswith(b"HTTP/1.1 ")
    assert b'"short"' not in received


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE", "OPTIONS"])
def test_so_is_every_other_method(client: httpx.Client, method: str) -> None:
    assert client.request(method, "/short/a").status_code == 405


def test_questions_that_come_at_once_are_answered_in_their_order_whichever_way_each_goes(client: httpx.Client) -> None:
    paths = [b"/short/slow", b"/short/a", b"/fine?limit=2", b"/short/b", b"/short/c?unusual", b"/short/d"]
    rows = [b"GET %b HTTP/1.1\r\nHost: test\r\n\r\n" % path for path in paths]
    with connected(client) as connection:
        connection.sendall(b"".join(rows) + b"GET /fine?limit=5 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        received = until_closed(connection)
    order = [b"slow", b'"a"', b'"limit":2', b'"b"', b'"c"', b'"d"', b'"limit":5']
    places = [received.find(part) for part in order]
    assert places == sorted(places)
    assert min(places) > 0
    assert received.count(b"HTTP/1.1 200 OK") == len(order)


def test_an_idle_connection_serves_again_and_a_new_question_may_follow_an_answer(client: httpx.Client) -> None:
    with connected(client) as connection:
        for thing in (b"a", b"b", b"c"):
            connection.sendall(b"GET /short/%b HTTP/1.1\r\nHost: test\r\n\r\n" % thing)
            assert b'{"short":"%b"' % thing in connection.recv(65536)


def answers(connection: socket.socket, request: bytes, count: int = 1) -> bytes:
    """Send what is to have so many answers, and return them."""
    connection.sendall(request)
    received = b""
    while received.count(b"HTTP/1.1 ") < count and (part := connection.recv(65536)):
        received += part
    return received


REST = b" HTTP/1.1\r\nHost: test\r\nX-Request-ID: one\r\n\r\n"
ASKED = b"GET /short/a" + REST


def test_a_head_that_comes_again_is_not_parsed_again(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    usual = HttpProtocol.on_headers_complete
    monkeypatch.setattr(HttpProtocol, "on_headers_complete", lambda self: (parsed.append(self.url), usual(self))[1])
    with Served(app, HttpProtocol) as served, httpx.Client(base_url=f"http://127.0.0.1:{served.port}") as client:
        for thing in "abc":
            assert client.get(f"/short/{thing}", headers={"X-Request-ID": "one"}).json() == {
                "short": thing,
                "request_id": "one",
            }
        assert parsed == [b"/short/a"]
        assert client.get("/short/d", headers={"X-Request-ID": "two"}).json()["request_id"] == "two"
        assert client.get("/short/e?unusual", headers={"X-Request-ID": "two"}).json() == {"long": "e"}
        assert client.post("/short/f", headers={"X-Request-ID": "two"}).status_code == 405
        assert client.get("/short/g", headers={"X-Request-ID": "two"}).json() == {"short": "g", "request_id": "two"}
        assert parsed == [b"/short/a", b"/short/d", b"/short/e?unusual", b"/short/f"]


def test_a_piece_of_a_request_is_no_request_though_it_looks_like_one(client: httpx.Client) -> None:
    with connected(client) as connection:
        assert b'"short":"a"' in answers(connection, ASKED)
        connection.sendall(b"GET /short/b?unusual HTTP/1.1\r\nHost: test\r\nX-More: ")
        time.sleep(SLOW_SECONDS / 4)
        assert b'{"long":"b"}' in answers(connection, b"GET /short/c" + REST)


def test_requests_that_come_together_behind_a_known_head_are_answered_each(client: httpx.Client) -> None:
    requests = b"".join(b"GET /short/%b" % thing + REST for thing in (b"b", b"c", b"d"))
    with connected(client) as connection:
        answers(connection, ASKED)
        assert re.findall(rb'"(?:short|long)":"(.)"', answers(connection, requests, 3)) == [b"b", b"c", b"d"]


def test_requests_that_come_together_again_are_no_head(client: httpx.Client) -> None:
    both = ASKED + b"GET /short/b" + REST
    with connected(client) as connection:
        for _ in range(3):
            assert re.findall(rb'"(?:short|long)":"(.)"', answers(connection, both, 2)) == [b"a", b"b"]


@pytest.mark.parametrize(
    "target", [b"/short/a b", b"/short/a\tb", b"/short/\xff", b"/short/a\r\nX: y", b"short/a", b""]
)
def test_a_target_that_is_none_takes_no_shortcut_behind_a_known_head_either(
    client: httpx.Client, target: bytes
) -> None:
    with connected(client) as connection:
        answers(connection, ASKED)
        assert b'"short"' not in answers(connection, b"GET " + target + REST)


def test_a_client_that_leaves_harms_nobody(client: httpx.Client) -> None:
    with monitoring.testing.captured() as reports:
        with connected(client) as connection:
            connection.sendall(b"GET /short/slow HTTP/1.1\r\nHost: test\r\n\r\n")
        time.sleep(SLOW_SECONDS * 2)
        assert client.get("/short/a").status_code == 200
    assert reports.point_ids == []


def test_a_client_that_leaves_while_its_questions_wait_leaves_no_error_behind(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    for paths in ((b"/short/a", b"/short/b", b"/fine"), (b"/fine", b"/fine", b"/short/a"), (b"/short/slow", b"/fine")):
        for _ in range(10):
            with connected(client) as connection:
                connection.sendall(b"".join(b"GET %b HTTP/1.1\r\nHost: test\r\n\r\n" % path for path in paths))
    time.sleep(SLOW_SECONDS * 2)
    assert client.get("/short/a").status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_server_that_stops_answers_what_it_was_asked_and_closes(app: FastAPI) -> None:
    with Served(app, HttpProtocol) as served, socket.create_connection(("127.0.0.1", served.port), timeout=5) as idle:
        idle.sendall(b"GET /short/a HTTP/1.1\r\nHost: test\r\n\r\n")
        assert b'"short"' in idle.recv(65536)
        with socket.create_connection(("127.0.0.1", served.port), timeout=1) as busy:
            busy.sendall(b"GET /short/slow HTTP/1.1\r\nHost: test\r\n\r\n")
            time.sleep(SLOW_SECONDS / 4)
            began = time.monotonic()
            served.stop()
            # The server itself closed, before the connection had been idle for too long.
            assert time.monotonic() - began < KEEP_ALIVE_SECONDS / 2
            head, _, body = until_closed(busy).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close" in head
        assert body.startswith(b'{"short":"slow"')
        assert until_closed(idle) == b""


class _Impatient(HttpProtocol):
    """Closes what has been idle for half a second."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.timeout_keep_alive = 0.5


@pytest.mark.parametrize("last", [b"/short/a", b"/short/slow", b"/short/a?unusual"])
def test_a_connection_is_closed_when_it_has_been_idle_since_its_last_answer(app: FastAPI, last: bytes) -> None:
    with (
        Served(app, _Impatient) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection,
    ):
        # The second answer's time is over while the last question is answered, if that is a slow one.
        for _ in range(2):
            assert b'"short":"a"' in answers(connection, ASKED)
            time.sleep(0.35)
        assert b"200 OK" in answers(connection, b"GET " + last + REST)
        answered = time.monotonic()
        assert until_closed(connection) == b""
        # A timer's clock is the time at which the loop woke up.
        assert 0.45 < time.monotonic() - answered < 1.0
