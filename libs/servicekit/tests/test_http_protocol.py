"""An answer goes out at once, and what a client sends at once is answered in its order."""

import asyncio
import socket
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from servicekit import http_protocol
from servicekit.http_protocol import MAX_HEAD_BYTES, HttpProtocol


class Recording(asyncio.Transport):
    """A connection that remembers what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        pass


async def _answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize("path", [b"/nowhere", b"/fine?limit=9"])
def test_a_client_that_has_said_all_is_answered(client: httpx.Client, path: bytes) -> None:
    for _ in range(20):
        with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=5) as connection:
            connection.sendall(b"GET %b HTTP/1.1\r\nHost: test\r\n\r\n" % path)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(65536).startswith(b"HTTP/1.1 ")


def test_requests_in_a_row_are_answered_in_their_order_and_the_connection_ends_after_the_last(
    client: httpx.Client,
) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=5) as connection:
        rows = [b"GET /fine?limit=%d HTTP/1.1\r\nHost: test\r\n" % limit for limit in (1, 2, 3)]
        connection.sendall(b"\r\n".join(rows) + b"Connection: close\r\n\r\n")
        received = b""
        while part := connection.recv(65536):
            received += part
    places = [received.find(b'{"limit":%d}' % limit) for limit in (1, 2, 3)]
    assert sorted(places) == places
    assert places[0] > 0
    assert received.endswith(b'{"limit":3}')


@pytest.mark.parametrize(
    ("begin", "part"),
    [
        (b"GET /fine HTTP/1.1\r\nX: ", b"a" * 65536),
        (b"GET /fine HTTP/1.1\r\n", b"X: y\r\n" * 10_000),
        (b"POST /fine HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X: y\r\n" * 10_000),
    ],
    ids=["one long header", "many headers", "trailers"],
)
def test_a_head_or_trailers_without_end_are_refused_before_they_fill_the_memory(
    client: httpx.Client, begin: bytes, part: bytes
) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=5) as connection:
        connection.sendall(begin)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(part * 1000)


def test_a_long_head_is_answered_with_its_status() -> None:
    async def ask() -> list[bytes]:
        config = uvicorn.Config(_answer, log_config=None)
        config.load()
        transport = Recording()
        protocol = HttpProtocol(config, ServerState(), {})
        protocol.connection_made(transport)
        protocol.data_received(b"GET / HTTP/1.1\r\nX: ")
        protocol.data_received(b"a" * (MAX_HEAD_BYTES + 1))
        await asyncio.sleep(0)
        protocol.connection_lost(None)
        return transport.written

    (written,) = asyncio.run(ask())
    assert written.startswith(b"HTTP/1.1 431 ")


def test_a_connection_whose_head_does_not_end_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(sent: bytes) -> bool:
        config = uvicorn.Config(_answer, log_config=None)
        config.load()
        transport = Recording()
        closed = asyncio.Event()
        monkeypatch.setattr(transport, "close", closed.set)
        protocol = HttpProtocol(config, ServerState(), {})
        protocol.connection_made(transport)
        if sent:
            protocol.data_received(sent)
        try:
            async with asyncio.timeout(0.2):
                await closed.wait()
        except TimeoutError:
            return False
        finally:
            protocol.connection_lost(None)
        return True

    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.02)
    assert asyncio.run(wait(b""))
    assert asyncio.run(wait(b"GET / HTTP/1.1\r\nHost:"))
    assert not asyncio.run(wait(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert not asyncio.run(wait(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{"))
