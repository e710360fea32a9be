"""What is wrong with a request is said before its body is read, and nothing that a client sends is a fault of ours."""

import json
import socket
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, File, Form, Query, UploadFile
from pydantic import BaseModel, SecretStr

import monitoring.testing
from contracts.query_values import Flag, WholeNumber
from servicekit.bearer import Access
from servicekit.bodies import MAX_BODY_BYTES, MAX_DRAINED_BYTES, MAX_FORM_BYTES
from servicekit.http_protocol import HttpProtocol
from servicekit.problem_document import MAX_ERRORS, MEDIA_TYPE
from servicekit.routing import ApiRouter, BoundedRoute, LenientRouter
from testkit.large_bodies import check_large_bodies
from testkit.serving import Served

TOKEN = {"Authorization": "Bearer the-token"}


class Options(BaseModel):
    exclude: list[int] = []
    limit: Annotated[int, WholeNumber(1, 50)] = 10
    explain: Flag = False


class Strict(BaseModel, extra="forbid"):
    amount: Annotated[int, WholeNumber(1)]


@pytest.fixture(scope="module")
def app(app: FastAPI) -> FastAPI:
    """The same with routes of every kind."""
    routes = ApiRouter(dependencies=Access.by_token(SecretStr("the-token")).allow("admin"))

    @routes.get("/listed")
    def listed(options: Annotated[Options, Query()]) -> Options:
        return options

    @routes.post("/strict")
    def strict(given: Strict) -> Strict:
        return given

    @routes.post("/upload", max_body_size=4 * MAX_BODY_BYTES)
    def upload(bundle: Annotated[UploadFile, File()], name: Annotated[str, Form()]) -> dict[str, Any]:
        return {"name": name, "size": bundle.size}

    open_routes = ApiRouter()

    @open_routes.get("/named/{name}")
    def named(name: str) -> str:
        return name

    pages = LenientRouter()

    @pages.post("/form", max_body_size=MAX_FORM_BYTES)
    def form(name: Annotated[str, Form()], limit: int = 1) -> dict[str, str]:
        return {"name": name}

    app.include_router(routes)
    app.include_router(open_routes)
    app.include_router(pages)
    return app


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[httpx.Client]:
    with Served(app, HttpProtocol) as served, httpx.Client(base_url=served.url, timeout=10) as http:
        yield http


def exchange(client: httpx.Client, request: bytes) -> bytes:
    """Send bytes, and return all that is answered until the server closes."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def test_every_route_of_an_application_is_one_that_checks_first(app: FastAPI) -> None:
    @app.get("/another")
    def another() -> None: ...

    assert {type(route).__name__ for route in app.routes if isinstance(route, BoundedRoute)} == {"BoundedRoute"}
    assert isinstance(app.routes[-1], BoundedRoute)


def test_no_route_reads_a_large_body(app: FastAPI) -> None:
    with Served(app, HttpProtocol) as served:
        check_large_bodies(app, served.port)
        check_large_bodies(app, served.port, content_type="multipart/form-data; boundary=x")


def test_the_token_is_asked_for_before_anything_else(client: httpx.Client) -> None:
    for content in (b"{", b"x" * (2 * MAX_BODY_BYTES), b""):
        refused = client.post("/strict?unknown=1", content=content, headers={"Content-Type": "application/json"})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


def test_a_body_up_to_the_limit_is_taken(client: httpx.Client) -> None:
    body = b'{"amount":1}'
    padded = body + b" " * (MAX_BODY_BYTES - len(body))
    headers = TOKEN | {"Content-Type": "application/json"}
    assert client.post("/strict", content=padded, headers=headers).status_code == 200
    assert client.post("/strict", content=iter([padded]), headers=headers).status_code == 200
    for content in (padded + b" ", iter([padded, b" "])):
        refused = client.post("/strict", content=content, headers=headers)
        assert (refused.status_code, refused.headers["content-type"]) == (413, MEDIA_TYPE)
        assert refused.json()["detail"] == "body: larger than 1 MiB, the most that this route takes."


def test_each_route_has_a_limit_of_its_own(client: httpx.Client) -> None:
    content = b"x" * (3 * MAX_BODY_BYTES)
    assert client.post("/upload", files={"bundle": content}, data={"name": "n"}, headers=TOKEN).json() == {
        "name": "n",
        "size": len(content),
    }
    refused = client.post("/upload", files={"bundle": content * 2}, data={"name": "n"}, headers=TOKEN)
    assert (refused.status_code, refused.json()["detail"]) == (
        413,
        "body: larger than 4 MiB, the most that this route takes.",
    )
    assert (
        client.post("/form", data={"name": "n" * MAX_FORM_BYTES}).json()["detail"].startswith("body: larger than 64 K")
    )


def test_who_sends_all_before_reading_still_reads_the_answer(client: httpx.Client) -> None:
    body = b"x" * (MAX_BODY_BYTES + 1)
    head = b"POST /strict HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(20):
        assert exchange(client, head + body).startswith(b"HTTP/1.1 401 ")


def test_a_long_body_that_is_not_read_ends_the_connection(client: httpx.Client) -> None:
    head = b"POST /strict HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n"
    for length in (MAX_DRAINED_BYTES + 1, 300_000_000):
        answer = exchange(client, head % length + b"x" * 1000)
        assert b"connection: close\r\n" in answer
        assert answer.startswith(b"HTTP/1.1 401 ")
    short = exchange(client, head % 4 + b"1234GET /fine HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    assert short.count(b"HTTP/1.1 ") == 2


def test_who_asks_for_leave_to_send_a_body_is_answered_without_it(client: httpx.Client) -> None:
    head = b"POST /strict HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"
    assert exchange(client, head).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("limit=3&limit=4", "query.limit", "given twice"),
        ("limit=999&limit=3", "query.limit", "given twice"),
        ("limit=3&limit=3", "query.limit", "given twice"),
        ("limti=3", "query.limti", "unknown; known are exclude, limit, explain"),
        ("=3", "query.", "unknown; known are exclude, limit, explain"),
        ("%00%ff=3", "query.\ufffd\ufffd", "unknown; known are exclude, limit, explain"),
    ],
)
def test_a_parameter_given_twice_or_unknown_is_named(
    client: httpx.Client, query: str, field: str, message: str
) -> None:
    refused = client.get(f"/listed?{query}", headers=TOKEN)
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"field": field, "message": message}]


def test_a_route_without_parameters_says_so(client: httpx.Client) -> None:
    errors = client.get("/known-error?limit=1").json()["errors"]
    assert errors == [{"field": "query.limit", "message": "unknown; there are none here"}]


@pytest.mark.parametrize("path", ["/fine?limit=%ff", "/listed?limit=%ED%A0%BD", "/listed?exclude=1&exclude=%e4%bd"])
def test_a_query_that_is_not_utf_8_is_refused(client: httpx.Client, path: str) -> None:
    assert client.get(path, headers=TOKEN).status_code == 422


@pytest.mark.parametrize("name", ["a%ff", "a%fe", "%ED%A0%BD", "%e4%bd"])
def test_a_path_that_is_not_utf_8_names_nothing_else(client: httpx.Client, name: str) -> None:
    refused = client.get(f"/named/{name}")
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"field": "path", "message": "holds percent-encoded bytes that are not UTF-8"}]
    assert client.get("/named/%E5%BC%A0%EF%BF%BD").json() == "\u5f20\ufffd"


def test_a_list_may_be_given_by_repeating_it(client: httpx.Client) -> None:
    assert client.get("/listed?exclude=1&exclude=2&limit=3", headers=TOKEN).json()["exclude"] == [1, 2]


def test_pages_and_hooks_ignore_parameters_that_they_dont_know(client: httpx.Client) -> None:
    assert client.post("/form?utm=1&utm=2&limit=1", data={"name": "n"}).json() == {"name": "n"}


@pytest.mark.parametrize("limit", ["%2B5", "1_0", "%EF%BC%95", "%205", "5.0", "05", "0", "51", "", "9" * 5000])
def test_numbers_are_read_by_their_grammar(client: httpx.Client, limit: str) -> None:
    assert client.get(f"/listed?limit={limit}", headers=TOKEN).status_code == 422


@pytest.mark.parametrize("flag", ["on", "yes", "TRUE", "t", "2", ""])
def test_flags_are_read_by_their_grammar(client: httpx.Client, flag: str) -> None:
    assert client.get(f"/listed?explain={flag}", headers=TOKEN).status_code == 422


JSON_HEADERS = TOKEN | {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[" * 100_000, "nested deeper than 32 levels"),
        (b'{"amount": ' + b"9" * 5_000 + b"}", "a number of more than 64 characters"),
        (b'{"amount": \xff}', "not UTF-8 (byte 11)"),
        (b'{"amount": ', "not JSON: Expecting value (line 1, column 12)"),
    ],
)
def test_a_body_that_is_no_json_that_is_taken_is_refused_with_the_reason(
    client: httpx.Client, body: bytes, message: str
) -> None:
    refused = client.post("/strict", content=body, headers=JSON_HEADERS)
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"field": "body", "message": message}]


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", "a/b/c; =", "\xff", ""])
def test_a_body_of_another_kind_is_refused_with_what_to_send(client: httpx.Client, kind: str) -> None:
    refused = client.post(
        "/strict", content=b'{"amount":1}', headers=[*TOKEN.items(), (b"Content-Type", kind.encode("latin-1"))]
    )
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"field": "header.content-type", "message": "send JSON, with `Content-Type: application/json`"}
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount": 1, "\\ud83d": 2}',
        b'{"amount": 1, "\\u0000\\u001b": 2}',
        b'{"amount": "\\udfff"}',
        b'{"amount": NaN}',
        b'{"amount": 1e999}',
        b'{"amount": 99999999999999999999}',
        b'{"amount": [{}]}',
        b'"\\ud83d"',
        b"null",
        b"",
    ],
)
def test_what_json_can_say_and_a_model_cant_take_is_a_problem_that_can_be_read(
    client: httpx.Client, body: bytes
) -> None:
    refused = client.post("/strict", content=body, headers=JSON_HEADERS)
    assert (refused.status_code, refused.headers["content-type"]) == (422, MEDIA_TYPE)
    json.loads(refused.content)
    refused.content.decode()


def test_a_body_that_is_wrong_in_many_places_is_answered_in_few(client: httpx.Client) -> None:
    fields = {f"unknown{number}": 1 for number in range(20_000)} | {"x" * 500_000: 1}
    refused = client.post("/strict", json=fields, headers=TOKEN)
    assert refused.status_code == 422
    assert len(refused.json()["errors"]) == MAX_ERRORS
    assert len(refused.content) < 50_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b"--x\r\n\r\nno name\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\ncut',
        b"\x00\xff" * 100,
        b'--x\r\nContent-Disposition: form-data; name="bundle"; filename="\xff\x00"\r\n\r\n1\r\n--x--\r\n',
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=x; charset=idna",
        "multipart/form-data; boundary=x; charset=undefined",
        "application/x-www-form-urlencoded",
        "application/json",
    ],
)
def test_a_broken_form_is_the_senders_fault(client: httpx.Client, body: bytes, kind: str) -> None:
    for path in ("/upload", "/form"):
        refused = client.post(path, content=body, headers=TOKEN | {"Content-Type": kind})
        assert refused.status_code in {400, 422}
        assert refused.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize(
    "path", ["/crash/%00", "/%ff%fe", "/%ud83d", "/%ED%A0%BD", "//", "/%2e%2e/%2f", "/listed/", "/%0d%0a"]
)
def test_whatever_stands_in_a_path_is_no_fault_of_ours(client: httpx.Client, path: str) -> None:
    answer = exchange(client, f"DELETE {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    assert int(answer.split(b" ")[1]) in {307, 404, 405}


@pytest.mark.parametrize(
    "header",
    [
        b"Host: [",
        b"Host: \xff",
        b"Host: a b",
        b"Authorization: \xff\xfe",
        b"Authorization: Bearer \xe4\xbd\xa0",
        b"Authorization: Bearer",
        b"X-Request-ID: \xff",
        b"Cookie: \xff=\xff; ;=;",
        b"Accept: \xff",
        b"traceparent: 00-\xff",
        b"sentry-trace: \xff",
        b"baggage: \xff=%ff",
        b"X-Forwarded-For: \xff",
    ],
)
@pytest.mark.parametrize("path", [b"/listed", b"/fine", b"/fine/", b"/nowhere", b"/fine?limit=9"])
def test_whatever_stands_in_a_header_is_no_fault_of_ours(client: httpx.Client, path: bytes, header: bytes) -> None:
    with monitoring.testing.captured() as reports:
        answer = exchange(client, b"GET %b HTTP/1.1\r\n%b\r\nConnection: close\r\n\r\n" % (path, header))
    assert int(answer.split(b" ")[1]) < 500
    assert reports.point_ids == []


@pytest.mark.parametrize(
    "lies",
    [
        b"Content-Length: 5\r\n\r\n{}",
        b"Content-Length: 1\r\n\r\n{}{}{}",
        b"Content-Length: -1\r\n\r\n{}",
        b"Content-Length: +5\r\n\r\n{}",
        b"Content-Length: 99999999999999999999999\r\n\r\n{}",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
    ],
)
def test_who_lies_about_a_bodys_length_and_leaves_is_no_fault_of_ours(client: httpx.Client, lies: bytes) -> None:
    head = (
        b"POST /strict HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer the-token\r\nContent-Type: application/json\r\n"
    )
    with monitoring.testing.captured() as reports:
        with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
            connection.sendall(head + lies)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            received = connection.recv(65536)
        assert client.get("/fine").status_code == 200
    assert received == b"" or int(received.split(b" ")[1]) < 500
    assert reports.point_ids == []
