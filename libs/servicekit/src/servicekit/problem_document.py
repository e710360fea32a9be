"""The body of every 4xx and 5xx: `application/problem+json` (RFC 9457) with request id and the fields at fault."""

from http import HTTPStatus

import orjson
from pydantic import BaseModel

import monitoring

MEDIA_TYPE = "application/problem+json"


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
    """Return a problem document as bytes; details often quote what another part said, so secrets go out of them."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=monitoring.redacted(detail),
        instance=scope_path,
        request_id=request_id,
        errors=[FieldError(field=each.field, message=monitoring.redacted(each.message)) for each in errors or ()],
    )
    return orjson.dumps(body.model_dump())


def problem_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers that go with a problem document, for who speaks HTTP without a framework."""
    return [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
