"""The way past the framework for questions in their plain form; at whatever is unusual about one, FastAPI looks.

Routing, dependency injection and validation cost more than ranking 200 candidates. What is read here is only what is
sure, so that a question means the same either way, and every error is FastAPI's to answer.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from recommender_api.models import Arm
from recommender_api.overload import Gate
from recommender_api.overload.gate import REFUSED
from recommender_api.recommendations.errors import UnanswerableError
from recommender_api.recommendations.query import MOST_REMEMBERED, Endpoint, Filters, Query
from recommender_api.recommendations.schemas import MAX_EXCLUDED
from recommender_api.recommendations.service import Recommender
from servicekit.shortcuts import Reply, Shortcut, lines

_HEADERS = b"content-type: application/json\r\ncontent-length: %d\r\nx-fallback-level: %d\r\n"
# One more may exceed an int64.
_MAX_DIGITS = 18
# A longer question is read anew each time.
_MOST_REMEMBERED_BYTES = 128
_NO_FILTERS = Filters()


class DirectAnswers:
    """Recognizes plain questions that have an answer; see `servicekit.shortcuts`."""

    def __init__(self, recommender: Recommender, gate: Gate) -> None:
        self._recommender = recommender
        self._gate = gate

    def __call__(self, path: str, query_string: bytes) -> Shortcut | None:
        """Return who answers a question, None if the framework has to look at it."""
        read = plain_question if len(path) + len(query_string) > _MOST_REMEMBERED_BYTES else _remembered_question
        query = read(path, query_string)
        if query is None:
            return None
        try:
            arm = self._recommender.arm(query)
        except UnanswerableError:
            return None
        return Shortcut(_ROUTES[query.endpoint], partial(self._answer, query, arm, path))

    async def _answer(self, query: Query, arm: Arm, path: str, request_id: str) -> Reply:
        questions = self._gate.questions
        if not questions.enter():
            headers, body = self._gate.refuse(query.endpoint, path, request_id)
            return Reply(REFUSED, lines(headers), body)
        try:
            body, level = await self._recommender.answer(query, arm, request_id)
        finally:
            questions.leave()
        return Reply(200, _HEADERS % (len(body), level), body)


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


_remembered_question = lru_cache(maxsize=MOST_REMEMBERED)(plain_question)


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


# As the framework names them.
_ROUTES = {
    Endpoint.SIMILAR: "/similar/{dataset_id}",
    Endpoint.DETAIL: "/recommend/detail/{dataset_id}",
    Endpoint.USER: "/recommend/user/{user_id}",
    Endpoint.TRENDING: "/hot/trending",
}
_BY_PREFIX = {endpoint.value: endpoint for endpoint in (Endpoint.SIMILAR, Endpoint.DETAIL, Endpoint.USER)}
_OF_ALL: dict[str, Callable[[str], Any]] = {"limit": _limit(50), "exclude": _ids}
_OPTIONS: dict[Endpoint, dict[str, Callable[[str], Any]]] = {
    Endpoint.SIMILAR: _OF_ALL,
    Endpoint.DETAIL: {**_OF_ALL, "user_id": _id},
    Endpoint.USER: _OF_ALL,
    Endpoint.TRENDING: {**_OF_ALL, "limit": _limit(100), "timeframe": {"1h": "1h", "24h": "24h"}.get},
}
