"""uvicorn's HTTP protocol with fast routes past ASGI, bounds for what comes in, and connections that close gently."""

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from servicekit.fast_routes import FastRoute, MatchFastRoute, encode_headers, is_plain
from servicekit.request_ids import answered

if TYPE_CHECKING:
    from starlette.types import Scope
    from uvicorn import Config
    from uvicorn.server import ServerState


_END = b"\r\n\r\n"
# What can't be more than one, or none at all.
_ONE_TARGET = re.compile(rb"/[!-~]*")
# A client reads the answer to a body that was refused only when it stops sending. Closed at once, the connection would
# be reset, and the answer lost: for so long, and up to so many bytes, what still comes is thrown away.
LINGER_SECONDS = 1.0
# What a request may have besides its body: the head, and what chunks are wrapped in, trailers among it. The parser
# keeps all of it, at ten times its size, before anybody can ask for a token. A request's first read is not counted.
MAX_HEAD_BYTES = 64 * 1024
# A chunk of one byte comes in six.
_OVERHEAD_PER_BODY_BYTE = 8
# How long a client may take over a head; uvicorn waits for ever.
HEAD_SECONDS = 30.0
MAX_LINGER_BYTES = 2**20


class HttpProtocol(HttpToolsProtocol):
    """Answers fast routes itself, because ASGI costs a fifth of a ranked answer and half of a cached one."""

    transport: "_LingeringTransport"  # type: ignore[assignment]  # all that uvicorn needs of an `asyncio.Transport`

    def __init__(self, config: "Config", server_state: "ServerState", app_state: dict[str, Any], **more: Any) -> None:
        super().__init__(config, server_state, app_state, **more)
        self._match_fast_route: MatchFastRoute | None = getattr(
            getattr(config.app, "state", None), "match_fast_route", None
        )
        self._default_headers: list[tuple[bytes, bytes]] = []
        self._default_lines = b""
        # What followed the target of the last plain request, the end of its head included, and the headers in it.
        self._rest = b""
        self._rest_headers: list[tuple[bytes, bytes]] = []
        self._received = b""
        self._between_requests = True
        # When the last answer of a fast route was complete, on the loop's clock.
        self._idle_since = 0.0
        self._lingers = False
        # The request that is coming in: whether its first read goes on, and the bytes of what is no body, and of its
        # body, since.
        self._is_new = self._in_head = False
        self._overhead = self._body_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn itself
        """See `asyncio.Protocol`."""
        super().connection_made(cast("asyncio.Transport", _LingeringTransport(transport, self._linger)))
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`.

        A client sends the same headers again and again: a request that differs from the last one in nothing but its
        target needs no parser.
        """
        if self._between_requests and self._rest and data.endswith(self._rest) and data.startswith(b"GET "):
            url = data[len(b"GET ") : -len(self._rest)]
            if _ONE_TARGET.fullmatch(url) and self._is_taken(url, self._rest_headers):
                return
        self._received = data
        body_bytes = self._body_bytes
        super().data_received(data)
        self._received = b""
        if not self._between_requests:
            self._check_unfinished(len(data), body_bytes)

    def on_message_begin(self) -> None:
        """See `httptools`."""
        self._between_requests = False
        self._is_new = self._in_head = True
        self._overhead = self._body_bytes = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """See `httptools`."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See `httptools`."""
        self._between_requests = True
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """See `httptools`."""
        self._in_head = False
        parser = self.parser
        if (
            parser.get_method() != b"GET"
            or not parser.should_keep_alive()
            or parser.get_http_version() != "1.1"
            or not is_plain(self.headers)
            or not self._is_taken(self.url, self.headers)
        ):
            super().on_headers_complete()
            return
        line, data = b"GET %b " % self.url, self._received
        if data.startswith(line) and data.find(_END) == len(data) - len(_END):
            self._rest, self._rest_headers = data[len(line) - 1 :], self.headers

    def _check_unfinished(self, received: int, body_bytes: int) -> None:
        """Refuse a request that goes on after a read with too much that is no body, or with a head that won't end."""
        if self._is_new:
            self._is_new = False
            if self._in_head:
                self._expect_head()
            return
        self._overhead += received - (self._body_bytes - body_bytes)
        if self._overhead <= MAX_HEAD_BYTES + _OVERHEAD_PER_BODY_BYTE * self._body_bytes or self.transport.is_closing():
            return
        if self._in_head and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _expect_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_of_patience)

    def _end_of_patience(self) -> None:
        """Close a connection whose first head, or the one that is coming in, is not complete."""
        if self._in_head or self.cycle is None:
            self.transport.close()

    def _linger(self) -> bool:
        """Close for writing alone if a request is still coming in; say so."""
        if self._between_requests or self._lingers or not self.transport.can_write_eof():
            return False
        self._lingers = True
        self.flow.resume_reading()
        self.transport.write_eof()
        self.transport.set_protocol(_Lingering(self, self.transport, self.loop))
        return True

    def _is_taken(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
        """Begin to answer a plain request past the application, if the fast path recognizes it."""
        match_fast_route = self._match_fast_route
        if match_fast_route is None:
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            return False  # sent before the last one was answered: uvicorn keeps their order
        target, _, query_string = url.partition(b"?")
        path = target.decode("latin-1")
        fast_route = match_fast_route(path, query_string)
        if fast_route is None:
            return False
        self.cycle = exchange = _Exchange()  # type: ignore[assignment]  # all that uvicorn needs of a cycle
        scope: Scope = {"method": "GET", "path": path, "query_string": query_string, "headers": headers}
        exchange.task = self.loop.create_task(self._take(fast_route, exchange, scope))
        self.tasks.add(exchange.task)
        return True

    async def _take(self, fast_route: FastRoute, exchange: "_Exchange", scope: "Scope") -> None:
        try:
            reply, own = await answered(fast_route, scope)
            if self.flow.write_paused and not exchange.disconnected:
                await self.flow.drain()
            if self.transport.is_closing():
                return
            status, headers, body = reply
            close = b"" if exchange.keep_alive else b"connection: close\r\n"
            self.transport.write(b"".join((STATUS_LINE[status], self._always(), close, headers, own, b"\r\n", body)))
            exchange.response_complete = True
            if not exchange.keep_alive:
                self.transport.close()
            self._next()
        finally:
            self.tasks.discard(exchange.task)
            if not exchange.response_complete:
                # Nobody shall wait for an answer that won't come.
                self.transport.close()

    def _next(self) -> None:
        """Do what is to be done after an answer; a timer for each, as uvicorn has it, costs 2 µs."""
        if self.pipeline or self.transport.is_closing():
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._close_after(self.timeout_keep_alive)

    def _close_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection unless something was asked or answered since the timer was set."""
        self.timeout_keep_alive_task = None
        if self.cycle is not None and not self.cycle.response_complete:
            return  # the end of its answer sets another
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._close_after(left)
        else:
            super().timeout_keep_alive_handler()

    def _always(self) -> bytes:
        """Return the headers of every answer, which change every second."""
        if self.server_state.default_headers is not self._default_headers:
            self._default_headers = self.server_state.default_headers
            self._default_lines = encode_headers(self._default_headers)
        return self._default_lines


class _Nobody:
    """Waits for no message."""

    def set(self) -> None:
        """See `asyncio.Event`."""


class _Exchange:
    """Stands for a request and its answer where uvicorn looks for one of ASGI's."""

    __slots__ = ("disconnected", "keep_alive", "more_body", "response_complete", "task")
    message_event = _Nobody()
    task: asyncio.Task[None]

    def __init__(self) -> None:
        self.keep_alive = True
        self.disconnected = self.response_complete = False


class _Lingering(asyncio.Protocol):
    """Throws away what still comes on a connection on which the last answer was sent, and closes it soon."""

    def __init__(self, http: HttpProtocol, transport: "_LingeringTransport", loop: asyncio.AbstractEventLoop) -> None:
        self._http = http
        self._transport = transport
        self._left = MAX_LINGER_BYTES
        self._timer = loop.call_later(LINGER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._left -= len(data)
        if self._left < 0:
            self._transport.close()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._timer.cancel()
        self._http.connection_lost(exc)


class _LingeringTransport:
    """A transport whose `close` gives the client time to read what was written before."""

    def __init__(self, transport: asyncio.Transport, linger: Callable[[], bool]) -> None:
        self._transport = transport
        self._linger = linger
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """See `asyncio.Transport`; uvloop raises, where asyncio ignores what comes after the end."""
        if not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """See `asyncio.Transport`."""
        if self._linger():
            # Nothing more is written, though the socket is open.
            self.is_closing = lambda: True
        else:
            self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
