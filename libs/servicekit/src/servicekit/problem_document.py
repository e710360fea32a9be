"""The body of every 4xx and 5xx: `application/problem+json` (RFC 9457) with request id and the fields at fault."""

from http import HTTPStatus

import orjson
from pydantic import BaseModel

import monitoring

MEDIA_TYPE = "application/problem+json"
# A body may be wrong in a hundred thousand places, and a name in it as long as the body itself.
MAX_ERRORS = 100
MAX_ERROR_CHARS = 1_000


class FieldError(BaseModel):
    """One field of the request that was refused, and why."""

    field: str
    message: str


class Problem(BaseModel):
    """The body of every error answer."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldError] = []


def problem(
    scope_path: str, request_id: str, status: int, detail: str, errors: list[FieldError] | None = None
) -> bytes:
    """Return a problem document as bytes; details often quote what another part said, so secrets go out of them.

    They quote what a caller sent, too: what JSON can't hold goes out of them as well, and what is long is cut.
    """
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=_presentable(detail),
        instance=_presentable(scope_path),
        request_id=request_id,
        errors=[
            FieldError(field=_presentable(each.field), message=_presentable(each.message))
            for each in (errors or ())[:MAX_ERRORS]
        ],
    )
    return orjson.dumps(body.model_dump())


def _presentable(text: str) -> str:
    redacted = monitoring.redacted(text)
    return redacted if len(redacted) <= MAX_ERROR_CHARS else redacted[: MAX_ERROR_CHARS - 1] + "…"


def problem_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers that go with a problem document, for who speaks HTTP without a framework."""
    return [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
