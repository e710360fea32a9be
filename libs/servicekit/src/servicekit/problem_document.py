"""The body of every 4xx and 5xx: `application/problem+json` (RFC 9457) with request id and the fields at fault."""

from http import HTTPStatus
from typing import Annotated

import orjson
from pydantic import BaseModel, Field

import monitoring

MEDIA_TYPE = "application/problem+json"
# A body may be wrong in a hundred thousand places, and a name in it as long as the body itself.
MAX_ERRORS = 100
MAX_ERROR_CHARS = 1_000


class FieldError(BaseModel):
    """One field of the request that was refused, and why."""

    field: Annotated[
        str, Field(description="Path of the field: `query.limit`, `body.events`", examples=["query.limit"])
    ]
    message: Annotated[
        str, Field(description="What is wrong with it", examples=["Input should be less than or equal to 50"])
    ]


class Problem(BaseModel):
    """The body of every error answer."""

    type: Annotated[str, Field(description="Always `about:blank`: the status says the kind")] = "about:blank"
    title: Annotated[str, Field(description="The status in words", examples=["Unprocessable Entity"])]
    status: Annotated[int, Field(description="The HTTP status", examples=[422])]
    detail: Annotated[
        str,
        Field(
            description="What went wrong, for people",
            examples=["query.limit: Input should be less than or equal to 50"],
        ),
    ]
    instance: Annotated[str, Field(description="Path of the request", examples=["/similar/1"])]
    request_id: Annotated[
        str, Field(description="Id of the request, as in `X-Request-ID`", examples=["req_5f2b8c0d1e3a"])
    ]
    errors: Annotated[list[FieldError], Field(description="The invalid fields, up to 100")] = []


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
