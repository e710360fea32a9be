"""The way past the framework for questions in their plain form; at whatever is unusual about one, FastAPI looks.

Routing, dependency injection and validation cost more than ranking 200 candidates. This layer reads only what it is
sure of, so that a question means the same either way, and every error is FastAPI's to answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from recommender_api.recommendations.errors import UnanswerableError
from recommender_api.recommendations.query import Endpoint, Filters, Query
from recommender_api.recommendations.schemas import MAX_EXCLUDED
from recommender_api.recommendations.service import Recommender
from servicekit.request_ids import request_id_of

_LEVELS = [(b"x-fallback-level", str(level).encode()) for level in range(4)]
_JSON = (b"content-type", b"application/json")
# One more may exceed an int64.
_MAX_DIGITS = 18
_NO_FILTERS = Filters()


@dataclass(frozen=True)
class Route:
    """What `scope["route"]` is asked for by whoever names requests."""

    path: str


class DirectAnswers:
    """ASGI middleware that answers plain questions and hands everything else on."""

    def __init__(self, app: ASGIApp, recommender: Recommender) -> None:
        self._app = app
        self._recommender = recommender

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        query = None
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["root_path"]:
            query = plain_question(scope["path"], scope["query_string"])
        if query is None:
            await self._app(scope, receive, send)
            return
        # By its route and not by its path, which holds an id, a crash and a trace are known.
        scope["route"] = _ROUTES[query.endpoint]
        try:
            answer = await self._recommender.answer(query, request_id_of(scope))
        except UnanswerableError:
            await self._app(scope, receive, send)
            return
        headers = [_JSON, (b"content-length", b"%d" % len(answer.body)), _LEVELS[answer.level]]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def plain_question(path: str, query_string: bytes) -> Query | None:
    """Return the question if all of it is understood here."""
    if path == "/hot/trending":
        endpoint, subject = Endpoint.TRENDING, None
    else:
        prefix, _, text = path.rpartition("/")
        known = _BY_PREFIX.get(prefix)
        subject = _id(text)
        if known is None or subject is None:
            return None
        endpoint = known
    options = _options(endpoint, query_string)
    if options is None:
        return None
    user_id = subject if endpoint is Endpoint.USER else options.get("user_id")
    exclude = options.get("exclude")
    return Query(
        endpoint,
        options.get("limit", 10),
        None if endpoint is Endpoint.USER else subject,
        user_id,
        options.get("timeframe", "24h") if endpoint is Endpoint.TRENDING else None,
        _NO_FILTERS if exclude is None else Filters(exclude),
    )


def _options(endpoint: Endpoint, query_string: bytes) -> dict[str, Any] | None:
    """Return the options by name, None if one of them is unknown, given twice or not plain."""
    options: dict[str, Any] = {}
    if not query_string:
        return options
    readers = _OPTIONS[endpoint]
    for option in query_string.decode("latin-1").split("&"):
        name, _, text = option.partition("=")
        reader = readers.get(name)
        value = None if reader is None else reader(text)
        if value is None or name in options:
            return None
        options[name] = value
    return options


def _id(text: str) -> int | None:
    plain = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and text[0] != "0"
    return int(text) if plain else None


def _ids(text: str) -> tuple[int, ...] | None:
    numbers = tuple(number for number in map(_id, text.split(",")) if number is not None)
    return numbers if text.count(",") + 1 == len(numbers) <= MAX_EXCLUDED else None


def _limit(most: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        number = _id(text)
        return number if number is not None and number <= most else None

    return read


_ROUTES = {endpoint: Route(endpoint.value) for endpoint in Endpoint}
_BY_PREFIX = {endpoint.value: endpoint for endpoint in (Endpoint.SIMILAR, Endpoint.DETAIL, Endpoint.USER)}
_OF_ALL: dict[str, Callable[[str], Any]] = {"limit": _limit(50), "exclude": _ids}
_OPTIONS: dict[Endpoint, dict[str, Callable[[str], Any]]] = {
    Endpoint.SIMILAR: _OF_ALL,
    Endpoint.DETAIL: {**_OF_ALL, "user_id": _id},
    Endpoint.USER: _OF_ALL,
    Endpoint.TRENDING: {**_OF_ALL, "limit": _limit(100), "timeframe": {"1h": "1h", "24h": "24h"}.get},
}
