"""The gate in front of questions and events: each kind has its own bound, and everything else passes.

Refused is with 503 and not with 429: it is the service that has no room, and not this caller that asks too much.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from recommender_api.metrics import Metrics
from recommender_api.overload.admission import Admission
from recommender_api.recommendations.query import Endpoint
from servicekit.problem_document import MEDIA_TYPE, problem
from servicekit.request_ids import request_id_of

# Batches of events under way; each may hold a thousand, so this bounds memory and how long questions wait behind them.
MOST_EVENT_BATCHES = 32
# An overload passes in seconds, or more replicas have to be started: sooner would only add to it.
RETRY_AFTER = b"1"

_EVENTS = "/events"
# By the path up to its last part, which is an id, or the only one of its kind.
_QUESTIONS = {
    Endpoint.SIMILAR.value: Endpoint.SIMILAR.value,
    Endpoint.DETAIL.value: Endpoint.DETAIL.value,
    Endpoint.USER.value: Endpoint.USER.value,
    "/hot": Endpoint.TRENDING.value,
}


class Shedding:
    """ASGI middleware, behind the request ids and before everything that costs something."""

    def __init__(self, app: ASGIApp, questions: Admission, metrics: Metrics) -> None:
        self._app = app
        self._questions = questions
        # From the start: the rate of a series that begins with its first refusal would miss it.
        self._refused = {endpoint: metrics.shed(endpoint) for endpoint in (*_QUESTIONS.values(), _EVENTS)}
        self._event_batches = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        endpoint = _QUESTIONS.get(path.rpartition("/")[0])
        if endpoint is not None:
            if not self._questions.enter():
                await self._refuse(endpoint, "questions", scope, send)
                return
            try:
                await self._app(scope, receive, send)
            finally:
                self._questions.leave()
        elif path == _EVENTS:
            if self._event_batches >= MOST_EVENT_BATCHES:
                await self._refuse(_EVENTS, "batches of events", scope, send)
                return
            self._event_batches += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._event_batches -= 1
        else:
            await self._app(scope, receive, send)

    async def _refuse(self, endpoint: str, what: str, scope: Scope, send: Send) -> None:
        self._refused[endpoint].inc()
        detail = f"More {what} are under way than this replica answers in time; ask again after Retry-After seconds."
        body = problem(scope["path"], request_id_of(scope), 503, detail)
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"retry-after", RETRY_AFTER),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})
