"""Calls to the outside: five seconds, no redirects, no link-local address under any name."""

import asyncio
from itertools import count

import httpx
import pytest

from monitoring.redaction import Redactor
from notification_gateway.url_secrets import secret_parts
from running_gateway import Receiver
from servicekit.outbound import http as outbound
from servicekit.outbound.addresses import ForbiddenAddressError, check_address, check_public, resolve
from servicekit.outbound.http import (
    AddressCheckingAsyncTransport,
    AddressCheckingTransport,
    async_client,
    call,
    call_async,
    client,
)
from testkit.threaded_server import SilentHandler, ThreadedServer

FORBIDDEN = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
]


def get(http: httpx.AsyncClient, url: str) -> outbound.Response:
    async def once() -> outbound.Response:
        async with http:
            return await call_async(http, "GET", url)

    return asyncio.run(once())


@pytest.mark.parametrize("address", FORBIDDEN)
def test_link_local_and_metadata_addresses_are_forbidden(address: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        check_address(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "fd12::1", "1.1.1.1"])
def test_loopback_private_and_public_addresses_are_allowed(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    "host", ["2852039166", "0xa9fea9fe", "169.254.43518", "metadata.google.internal.", "METADATA.google.internal"]
)
def test_other_spellings_of_forbidden_addresses_are_forbidden(host: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        resolve(host, 80)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1"])
def test_a_name_that_resolves_to_a_forbidden_address_is_not_called(receiver: Receiver, address: str) -> None:
    def rebound(host: str, port: int) -> list[str]:
        check_address(address)
        return [address]

    with pytest.raises(ForbiddenAddressError):
        get(httpx.AsyncClient(transport=AddressCheckingAsyncTransport(rebound)), "http://relay.test/")
    with httpx.Client(transport=AddressCheckingTransport(rebound)) as http, pytest.raises(ForbiddenAddressError):
        call(http, "GET", "http://relay.test/")


def test_the_address_that_was_checked_is_the_one_that_is_called_under_the_name(receiver: Receiver) -> None:
    asked: list[tuple[str, int]] = []

    def only_once(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    url = f"http://relay.test:{receiver.port}/a?b=c"
    assert get(httpx.AsyncClient(transport=AddressCheckingAsyncTransport(only_once)), url).status == 200
    with httpx.Client(transport=AddressCheckingTransport(only_once)) as http:
        assert call(http, "GET", url).status == 200
    assert asked == [("relay.test", receiver.port)] * 2
    assert receiver.hosts == [f"relay.test:{receiver.port}"] * 2
    assert [path for _, path, _ in receiver.calls] == ["/a?b=c"] * 2


def test_the_next_address_is_tried_if_the_first_does_not_answer(receiver: Receiver) -> None:
    transport = AddressCheckingAsyncTransport(lambda _host, _port: ["127.0.0.2", "127.0.0.1"])
    assert get(httpx.AsyncClient(transport=transport), f"http://relay.test:{receiver.port}/").status == 200


class _Callers(ThreadedServer):
    """Keeps which connection each request came by."""

    def __init__(self) -> None:
        super().__init__(_CallerHandler)
        self.ports: list[int] = []


class _CallerHandler(SilentHandler):
    server: _Callers
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.ports.append(self.client_address[1])
        self.send_body(200, b"")


def test_no_connection_to_an_address_is_used_for_another_host() -> None:
    """Its certificate was checked for the first host alone."""

    def same(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    with _Callers() as server:
        urls = [f"http://{host}:{server.server_port}/" for host in ("a.test", "b.test")]

        async def call_both() -> None:
            async with httpx.AsyncClient(transport=AddressCheckingAsyncTransport(same)) as http:
                for url in urls:
                    await call_async(http, "GET", url)

        asyncio.run(call_both())
        with httpx.Client(transport=AddressCheckingTransport(same)) as http:
            for url in urls:
                call(http, "GET", url)
        assert len(dict.fromkeys(server.ports)) == 4


@pytest.mark.parametrize(
    "address",
    [
        "fec0::1",
        "::ffff:0:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::808:808",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::5efe:808:808",
        "2001:470:1f0b:1::5efe:7f00:1",
    ],
)
def test_addresses_that_are_not_on_the_internet_are_not_public(address: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        check_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_addresses_on_the_internet_are_public(address: str) -> None:
    check_public(address)


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.answer = (307, {"Location": f"{receiver.url}/elsewhere"}, b"")
    assert get(async_client(receiver.url), "/here").status == 307
    with client(receiver.url) as http:
        assert call(http, "GET", "/here").status == 307
    assert [path for _, path, _ in receiver.calls] == ["/here", "/here"]


def test_an_answer_that_drips_is_cut_off(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outbound.TOTAL_SECONDS <= 5
    receiver.answer, receiver.drip_seconds = (200, {}, b"x" * 20), 0.1
    seconds = count(step=3)
    with client(receiver.url) as http, pytest.raises(httpx.ReadTimeout):
        call(http, "GET", "/", clock=lambda: float(next(seconds)))
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 0.3)
    with pytest.raises(httpx.ReadTimeout):
        get(async_client(receiver.url), "/")


def test_an_answer_without_end_is_cut_off(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "MAX_BYTES", 10)
    receiver.answer = (200, {}, b"x" * 20)
    with pytest.raises(httpx.ReadError):
        get(async_client(receiver.url), "/")
    with client(receiver.url) as http, pytest.raises(httpx.ReadError):
        call(http, "GET", "/")


@pytest.mark.parametrize("url", ["http://hooks.test", "https://hooks.test"])
def test_a_proxy_of_the_environment_stays_in_use_and_gets_no_metadata_host(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, receiver.url)
    if url.startswith("http:"):
        assert get(async_client(url), "/a").status == 200
        assert receiver.calls == [("GET", "http://hooks.test/a", b"")]
    for forbidden in ("http://169.254.169.254/", "http://metadata.google.internal/"):
        with pytest.raises(ForbiddenAddressError):
            get(async_client(forbidden), "latest")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert get(async_client(receiver.url), "/direct").status == 200
    assert receiver.calls[-1][1] == "/direct"


@pytest.mark.parametrize(
    ("url", "hidden", "shown"),
    [
        ("https://hc.test/ping/6f1c-77aa-9", ["https://hc.test/ping/6f1c-77aa-9", "6f1c-77aa-9"], ["hc.test", "ping"]),
        ("http://up.test/api/push/abc%2Fdef%3D123?status=up", ["abc%2Fdef%3D123", "abc/def=123"], ["status", "push"]),
        ("http://x.test/?token=aaaabbbb1", ["aaaabbbb1"], ["x.test"]),
        ("https://me:pa%40ss1@mail.test/hook", ["pa@ss1", "pa%40ss1", "https://me:pa%40ss1@mail.test/hook"], ["hook"]),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", ["T1JJ3T3L2", "TIiajkdnlazkcOXrIdevi7FQ"], ["slack"]),
        ("tgram://123456789:AABBCCDDEEFF1/12315544", ["123456789", "AABBCCDDEEFF1"], ["tgram"]),
        ("json://localhost:8080/notify", [], ["localhost", "notify", "json"]),
        ("json://relay:8080/services", [], ["relay", "services"]),
    ],
)
def test_the_tokens_in_a_url_are_secrets_and_its_names_are_not(url: str, hidden: list[str], shown: list[str]) -> None:
    redactor = Redactor(secret_parts(url))
    for each in (url, *hidden):
        assert each not in redactor.text(f"failed: <{each}>")
    for each in shown:
        assert redactor.text(f"a {each} b") == f"a {each} b"
