"""The gate for what comes the way of ASGI: each kind has its own bound, and everything else passes."""

from starlette.types import ASGIApp, Receive, Scope, Send

from recommender_api.overload.gate import EVENTS, REFUSED, Gate
from recommender_api.recommendations.query import Endpoint
from servicekit.request_ids import request_id_of

# Batches of events under way; each may hold a thousand, so this bounds memory and how long questions wait behind them.
MOST_EVENT_BATCHES = 32

# By the path up to its last part, which is an id, or the only one of its kind.
_QUESTIONS = {
    Endpoint.SIMILAR.value: Endpoint.SIMILAR,
    Endpoint.DETAIL.value: Endpoint.DETAIL,
    Endpoint.USER.value: Endpoint.USER,
    "/hot": Endpoint.TRENDING,
}


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
        endpoint = _QUESTIONS.get(path.rpartition("/")[0])
        if endpoint is not None:
            questions = self._gate.questions
            if not questions.enter():
                await self._refuse(endpoint, scope, send)
                return
            try:
                await self._app(scope, receive, send)
            finally:
                questions.leave()
        elif path == EVENTS:
            if self._event_batches >= MOST_EVENT_BATCHES:
                await self._refuse(EVENTS, scope, send)
                return
            self._event_batches += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._event_batches -= 1
        else:
            await self._app(scope, receive, send)

    async def _refuse(self, endpoint: str, scope: Scope, send: Send) -> None:
        headers, body = self._gate.refuse(endpoint, scope["path"], request_id_of(scope))
        await send({"type": "http.response.start", "status": REFUSED, "headers": headers})
        await send({"type": "http.response.body", "body": body})
