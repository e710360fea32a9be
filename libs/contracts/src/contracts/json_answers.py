"""Answers of our services as a caller has to expect them: a proxy's page, half a document, another shape."""

import json
import math
from typing import NoReturn, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

AnswerT = TypeVar("AnswerT", bound=BaseModel)
_MAX_DETAIL = 500


class UnusableAnswerError(Exception):
    """The answer isn't what the service sends: something else answers at this address, or it broke off."""

    def __init__(self, response: httpx.Response, what: str) -> None:
        kind = response.headers.get("Content-Type") or "no content type"
        super().__init__(f"{response.request.url} answered {response.status_code} with {kind}: {what}")


def read_json(response: httpx.Response) -> object:
    """Return the JSON of an answer; raises `UnusableAnswerError`."""
    try:
        body: object = json.loads(response.content, parse_constant=_reject, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UnusableAnswerError(response, "not JSON") from error
    return body


def read_object(response: httpx.Response) -> dict[str, object]:
    """Return the JSON object of an answer; raises `UnusableAnswerError`."""
    body = read_json(response)
    if not isinstance(body, dict):
        raise UnusableAnswerError(response, "a JSON object was expected")
    return body


def read_answer(response: httpx.Response, model: type[AnswerT]) -> AnswerT:
    """Return the body of an answer as `model`; fields that it doesn't know are ignored. Raises as `read_object`."""
    try:
        return model.model_validate(read_object(response))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, found["loc"]))
        raise UnusableAnswerError(response, f"{where}: {found['msg']}") from error


def problem_detail(response: httpx.Response) -> str:
    """Return why a service rejected a request: the `detail` of its problem, or the beginning of another body."""
    try:
        body = read_object(response)
    except UnusableAnswerError:
        body = {}
    reason = body.get("detail") or body.get("title") or response.text[:_MAX_DETAIL].strip() or response.reason_phrase
    if response.has_redirect_location:
        return f"{reason or 'moved'} (to {response.headers['Location']}; redirects are not followed)"
    return str(reason)


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number past the largest")
    return number
