"""The outermost layer: request ids, response time, and the handling of exceptions that nothing else handled."""

import re
import time
from asyncio import CancelledError
from random import getrandbits

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import monitoring
from servicekit.bodies import LongBody
from servicekit.fast_routes import FastRoute, Reply, encode_headers
from servicekit.problem_document import problem, problem_headers

_TAKEN = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_SCOPE_KEY = "recsys.request_id"


def request_id_of(scope: Scope) -> str:
    """Return the id of the request that this scope belongs to."""
    return str(scope[_SCOPE_KEY])


class RequestIdMiddleware:
    """Takes `X-Request-ID` or generates one, returns it with `X-Response-Time` (s), and adds it to every event.

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
        status = 0
        body = LongBody.of(scope, receive)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"x-response-time", b"%.6f" % (time.perf_counter() - started)),
                ]
                if body is not None and body.is_unread:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        with monitoring.bound_request(scope, request_id), monitoring.request_trace(scope):
            try:
                await self._app(scope, receive if body is None else body.receive, send_with_id)
            except Exception as error:
                _report(scope, error)
                if status:
                    raise
                await _send_500(scope, request_id, send_with_id)
            finally:
                if status:
                    monitoring.request_ended(status, time.perf_counter() - started)


async def answered(fast_route: FastRoute, scope: Scope) -> tuple[Reply, bytes]:
    """Do the same for a fast route: return its reply, and the headers to go with it as whole lines."""
    started = time.perf_counter()
    request_id = _request_id(scope)
    scope["route"] = fast_route
    with monitoring.bound_request(scope, request_id), monitoring.request_trace(scope):
        try:
            reply = await fast_route.answer(request_id)
        except (Exception, CancelledError) as error:  # noqa: BLE001 - as above
            # A server that stops cancels the requests that take longer than it may wait. They end here.
            _report(scope, error)
            body = _crash_body(scope, request_id)
            reply = Reply(500, encode_headers(problem_headers(body)), body)
        took = time.perf_counter() - started
        monitoring.request_ended(reply.status, took)
    return reply, b"x-request-id: %b\r\nx-response-time: %.6f\r\n" % (request_id.encode(), took)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _TAKEN.fullmatch(value):
            return str(value.decode())
    return f"req_{getrandbits(48):012x}"


def _report(scope: Scope, error: BaseException) -> None:
    route = scope.get("route")
    # Without the converters of its parameters.
    endpoint = getattr(route, "path_format", None) or getattr(route, "path", scope["path"])
    monitoring.report("api.unhandled", error=error, endpoint=endpoint, method=scope["method"])


async def _send_500(scope: Scope, request_id: str, send: Send) -> None:
    body = _crash_body(scope, request_id)
    await send({"type": "http.response.start", "status": 500, "headers": problem_headers(body)})
    await send({"type": "http.response.body", "body": body})


def _crash_body(scope: Scope, request_id: str) -> bytes:
    return problem(scope["path"], request_id, 500, "The request failed unexpectedly; the failure was reported.")
