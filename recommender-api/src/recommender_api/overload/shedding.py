"""The gate for what comes the way of ASGI: each kind has its own bound, and everything else passes."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recommender_api.answers.query import Endpoint
from recommender_api.metrics import EVENTS
from recommender_api.overload.gate import REFUSED, Gate
from servicekit.request_ids import request_id_of

# Batches of events under way; each may hold a thousand, so this bounds memory and how long questions wait behind them.
MOST_EVENT_BATCHES = 32

# What follows is an id, and a text id may hold a slash.
_PREFIXES = {f"{endpoint.value}/": endpoint for endpoint in (Endpoint.SIMILAR, Endpoint.DETAIL, Endpoint.USER)}


class Shedding:
    """ASGI middleware, behind the request ids and before everything that costs something."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate
        self._event_batches = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
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
        """Have it answered, and count the answer."""
        status = None

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            # The layer outside answers 500, unless an answer has begun.
            self._gate.outcomes.count(endpoint, 500 if status is None else status)
            raise
        if status is not None:
            self._gate.outcomes.count(endpoint, status)

    async def _refuse(self, endpoint: str, scope: Scope, send: Send) -> None:
        headers, body = self._gate.refuse(endpoint, scope["path"], request_id_of(scope))
        await send({"type": "http.response.start", "status": REFUSED, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def endpoint_of(path: str) -> Endpoint | None:
    """Return which question a path asks."""
    if path == Endpoint.TRENDING.value:
        return Endpoint.TRENDING
    return next((endpoint for prefix, endpoint in _PREFIXES.items() if path.startswith(prefix)), None)
