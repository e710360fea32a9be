"""ASGI middleware that applies the gate: each kind of request has its own limit, and other paths are not limited."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recommender_api.answers.query import Endpoint
from recommender_api.metrics import EVENTS
from recommender_api.overload.gate import REFUSED, Gate
from servicekit.request_ids import request_id_of

# Event batches in flight. Each may hold a thousand events, so this limits memory and how long queries wait for them.
MOST_EVENT_BATCHES = 32

# An id follows the prefix, and a text id may contain a slash.
_PREFIXES = {f"{endpoint.value}/": endpoint for endpoint in (Endpoint.SIMILAR, Endpoint.DETAIL, Endpoint.USER)}


class Shedding:
    """ASGI middleware, inside the request ids and outside everything that is expensive."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate
        self._event_batches = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        endpoint = endpoint_of(path)
        if endpoint is not None:
            questions = self._gate.questions
            if not questions.acquire():
                await self._refuse(endpoint, scope, send)
                return
            before = questions.work_done
            try:
                await self._answer(endpoint, scope, receive, send)
            finally:
                self._gate.release(before)
        elif path == EVENTS:
            if self._event_batches >= MOST_EVENT_BATCHES:
                await self._refuse(EVENTS, scope, send)
                return
            self._event_batches += 1
            try:
                await self._answer(EVENTS, scope, receive, send)
            finally:
                self._event_batches -= 1
        else:
            await self._app(scope, receive, send)

    async def _answer(self, endpoint: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count the answer."""
        status = None

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            # The outer layer answers 500, unless an answer has been started.
            self._gate.outcomes.count(endpoint, 500 if status is None else status)
            raise
        if status is not None:
            self._gate.outcomes.count(endpoint, status)

    async def _refuse(self, endpoint: str, scope: Scope, send: Send) -> None:
        headers, body = self._gate.refuse(endpoint, scope["path"], request_id_of(scope))
        await send({"type": "http.response.start", "status": REFUSED, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def endpoint_of(path: str) -> Endpoint | None:
    """Return the endpoint of a path, None if it has no limit."""
    if path == Endpoint.TRENDING.value:
        return Endpoint.TRENDING
    return next((endpoint for prefix, endpoint in _PREFIXES.items() if path.startswith(prefix)), None)
