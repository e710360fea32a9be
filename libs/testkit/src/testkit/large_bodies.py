"""Sends too large bodies to a running service, and records the result."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

LARGE_BYTES = 300 * 10**6
TIMEOUT_SECONDS = 30

Framing = Literal["content-length", "chunked"]
_BLOCK = bytes(2**16)
# Any value that matches the routes' patterns.
_PATH_VALUES = {"name": "ranker"}


@dataclass(frozen=True)
class Route:
    """A method and a path without parameters."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Refusal:
    """The answer of a service, how long it took (s), and how much of the body was sent before the end."""

    status: int
    seconds: float
    sent_bytes: int


def routes_of(app: FastAPI) -> Iterator[Route]:
    """Yield every route of an application, including its documents, and paths around them."""
    for context in iter_route_contexts(app.routes):
        if context.path is None:
            continue
        path = re.sub(r"{(\w+)[^}]*}", lambda found: _PATH_VALUES.get(found[1], "1"), context.path)
        yield from (Route(method, path) for method in sorted(context.methods or ()) if method != "HEAD")
    yield Route("POST", "/health")
    yield Route("PUT", "/no/such/route")


def send_large_body(
    port: int,
    route: Route,
    framing: Framing,
    *,
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Refusal:
    """Send a body of 300 MB until the service closes, as a client that reads while it sends.

    Raises `TimeoutError` if the service neither answers nor closes.
    """
    length = f"Content-Length: {LARGE_BYTES}" if framing == "content-length" else "Transfer-Encoding: chunked"
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = (
        f"{route.method} {route.path} HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\n{more}{length}\r\n\r\n"
    )
    block = _BLOCK if framing == "content-length" else b"%x\r\n%b\r\n" % (len(_BLOCK), _BLOCK)
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(head.encode())
        began = time.monotonic()
        sending = _Sending(connection, block)
        sending.start()
        answer = connection.recv(65536)
        seconds = time.monotonic() - began
        # An answer without an end leaves the client waiting, although nothing of the body is read.
        sending.join(3)
    return Refusal(int(answer.split(b" ", 2)[1]), seconds, sending.sent_bytes)


class _Sending(threading.Thread):
    def __init__(self, connection: socket.socket, block: bytes) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._block = block
        self.sent_bytes = 0

    def run(self) -> None:
        """Send until the service closes or nothing is left."""
        try:
            while self.sent_bytes < LARGE_BYTES:
                self._connection.sendall(self._block)
                self.sent_bytes += len(self._block)
        except OSError:
            return


def check_large_bodies(app: FastAPI, port: int, *, max_sent_bytes: int = 10 * 2**20, **sent: Any) -> list[Route]:
    """Send each route a large body of either framing; return the routes.

    Raises `AssertionError` if one is accepted, or rejected late.
    """
    asked = list(routes_of(app))
    for route in asked:
        for framing in ("content-length", "chunked"):
            refusal = send_large_body(port, route, framing, **sent)
            if not _is_refused(framing, refusal.status) or refusal.sent_bytes > max_sent_bytes:
                raise AssertionError(f"{route}, {framing}: {refusal}")
    return asked


def _is_refused(framing: Framing, status: int) -> bool:
    # The size is only known by counting, and a route that reads no body doesn't count: it answers, and closes.
    return status in {401, 404, 405, 413} or (framing == "chunked" and 400 <= status < 500)
