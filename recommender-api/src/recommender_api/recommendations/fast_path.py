"""The fast path: answers simple requests without the framework. FastAPI handles every other request.

Routing, dependency injection and validation cost more than ranking 200 candidates. Only unambiguous parameters are
parsed here, so a request means the same on both paths; FastAPI gives every error answer.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from contracts.ids import MAX_ID_CHARS, EntityKind, UnusableIdError, read_id
from recommender_api.answers.errors import UnanswerableError
from recommender_api.answers.fast_path_errors import FastPathErrors
from recommender_api.answers.query import MOST_REMEMBERED, Endpoint, Filters, Query
from recommender_api.models.serving import Arm
from recommender_api.overload import Gate
from recommender_api.overload.gate import REFUSED
from recommender_api.recommendations.schemas import MAX_EXCLUDED
from recommender_api.recommendations.service import Recommender
from servicekit.fast_routes import FastRoute, Reply, encode_headers

_HEADERS = b"content-type: application/json\r\ncontent-length: %d\r\nx-fallback-level: %d\r\n"
# With one digit more the number may exceed an int64.
_MAX_DIGITS = 18
# A longer request is parsed each time.
_MOST_REMEMBERED_BYTES = 128
_NO_FILTERS = Filters()
# The unreserved characters of RFC 3986: a URL never encodes them, so nothing has to be decoded.
_UNRESERVED = re.compile(rf"[A-Za-z0-9._~-]{{1,{MAX_ID_CHARS}}}")

# The number of an id, and its text unless the text is that number.
_Id = tuple[int, str | None]
_NO_ID: tuple[int | None, str | None] = (None, None)


class FastPath:
    """Recognizes simple requests that have an answer; see `servicekit.fast_routes`."""

    def __init__(self, recommender: Recommender, gate: Gate, errors: FastPathErrors) -> None:
        self._recommender = recommender
        self._gate = gate
        self._errors = errors

    def __call__(self, path: str, query_string: bytes) -> FastRoute | None:
        """Return the route of a request, None if the framework has to handle it."""
        try:
            return self._match(path, query_string)
        except Exception as error:  # noqa: BLE001 - the framework answers
            self._errors.report("match", error)
            return None

    def _match(self, path: str, query_string: bytes) -> FastRoute | None:
        read = parse_simple_query if len(path) + len(query_string) > _MOST_REMEMBERED_BYTES else _remembered_query
        query = read(path, query_string)
        if query is None:
            return None
        try:
            arm = self._recommender.arm(query)
        except UnanswerableError:
            return None
        return FastRoute(_ROUTES[query.endpoint], partial(self._answer, query, arm, path))

    async def _answer(self, query: Query, arm: Arm, path: str, request_id: str) -> Reply:
        questions = self._gate.questions
        if not questions.acquire():
            headers, body = self._gate.refuse(query.endpoint, path, request_id)
            return Reply(REFUSED, encode_headers(headers), body)
        before = questions.work_done
        try:
            body, level = await self._recommender.answer(query, arm, request_id)
        except Exception:
            self._gate.outcomes.count(query.endpoint, 500)
            raise
        finally:
            self._gate.release(before)
        return Reply(200, _HEADERS % (len(body), level), body)


def parse_simple_query(path: str, query_string: bytes) -> Query | None:
    """Return the query if all of the request is understood here, else None."""
    dataset = user = _NO_ID
    if path == "/hot/trending":
        endpoint = Endpoint.TRENDING
    else:
        prefix, _, text = path.rpartition("/")
        known = _BY_PREFIX.get(prefix)
        if known is None:
            return None
        endpoint = known
        subject = _user(text) if endpoint is Endpoint.USER else _dataset(text)
        if subject is None:
            return None
        if endpoint is Endpoint.USER:
            user = subject
        else:
            dataset = subject
    options = _options(endpoint, query_string)
    if options is None:
        return None
    dataset_id, external_dataset_id = dataset
    user_id, external_user_id = options.get("user_id", user)
    exclude = options.get("exclude")
    return Query(
        endpoint,
        options.get("limit", 10),
        dataset_id,
        user_id,
        options.get("timeframe", "24h") if endpoint is Endpoint.TRENDING else None,
        _NO_FILTERS if exclude is None else Filters(exclude),
        external_dataset_id=external_dataset_id,
        external_user_id=external_user_id,
    )


_remembered_query = lru_cache(maxsize=MOST_REMEMBERED)(parse_simple_query)


def _options(endpoint: Endpoint, query_string: bytes) -> dict[str, Any] | None:
    """Return the options by name, None if one of them is unknown, repeated or not simple."""
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


def _number(text: str) -> int | None:
    plain = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and text[0] != "0"
    return int(text) if plain else None


def _user(text: str) -> _Id | None:
    number = _number(text)
    return _text_id(text, "user") if number is None else (number, None)


def _dataset(text: str) -> _Id | None:
    number = _number(text)
    return _text_id(text, "dataset") if number is None else (number, None)


# Hashing costs a microsecond or two, and the same ids are requested again and again.
@lru_cache(maxsize=MOST_REMEMBERED)
def _text_id(text: str, kind: EntityKind) -> _Id | None:
    """Return a text id and its number, None if the text is not an id or may be encoded differently in a URL."""
    if not _UNRESERVED.fullmatch(text):
        return None
    try:
        return read_id(text, kind)
    except UnusableIdError:
        return None


def _ids(text: str) -> tuple[int, ...] | None:
    found = tuple(number for number in map(_number, text.split(",")) if number is not None)
    if text.count(",") + 1 == len(found) <= MAX_EXCLUDED:
        return found
    one = _dataset(text)
    return None if one is None else (one[0],)


def _limit(most: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        number = _number(text)
        return number if number is not None and number <= most else None

    return read


# The names that the framework uses.
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
    Endpoint.DETAIL: {**_OF_ALL, "user_id": _user},
    Endpoint.USER: _OF_ALL,
    Endpoint.TRENDING: {**_OF_ALL, "limit": _limit(100), "timeframe": {"1h": "1h", "24h": "24h"}.get},
}
