"""The outermost ASGI layer: request ids, response time, and the last word on exceptions that nothing handled."""

import re
import time
from random import getrandbits

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import monitoring
from servicekit.problem_document import MEDIA_TYPE, problem

_TAKEN = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_SCOPE_KEY = "recsys.request_id"


def request_id_of(scope: Scope) -> str:
    """Return the id of the request that this scope belongs to."""
    return str(scope[_SCOPE_KEY])


class RequestIdMiddleware:
    """Takes `X-Request-ID` or makes one, returns it with `X-Response-Time` (s), and makes it a fact of every event.

    An exception that reaches this layer becomes `api.unhandled` and a 500 problem.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = scope[_SCOPE_KEY] = _request_id(scope)
        answering = False

        async def send_with_id(message: Message) -> None:
            nonlocal answering
            if message["type"] == "http.response.start":
                answering = True
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"x-response-time", f"{time.perf_counter() - started:.6f}".encode()),
                ]
            await send(message)

        with monitoring.facts(request_id=request_id), monitoring.request_trace(scope):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:
                _report(scope, error)
                if answering:
                    raise
                await _send_500(scope, request_id, send_with_id)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _TAKEN.fullmatch(value):
            return str(value.decode())
    return f"req_{getrandbits(48):012x}"


def _report(scope: Scope, error: Exception) -> None:
    route = scope.get("route")
    endpoint = getattr(route, "path", scope["path"])
    monitoring.report("api.unhandled", error=error, endpoint=endpoint, method=scope["method"])


async def _send_500(scope: Scope, request_id: str, send: Send) -> None:
    body = problem(scope["path"], request_id, 500, "The request failed unexpectedly; the failure was reported.")
    await send(
        {
            "type": "http.response.start",
            "status": 500,
            "headers": [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})
