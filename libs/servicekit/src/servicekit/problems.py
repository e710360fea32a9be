"""Every 4xx and 5xx as `application/problem+json` (RFC 9457), with the request's id and the fields at fault."""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from servicekit.request_ids import request_id_of

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


class ProblemError(Exception):
    """An error that is answered as it stands: raise it from the one mapper of a service's error tree."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` entry of the named statuses."""
    return {
        status: {
            "model": Problem,
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""
    app.exception_handler(ProblemError)(_on_problem)
    app.exception_handler(RequestValidationError)(_on_invalid)
    app.exception_handler(HTTPException)(_on_http)


def problem(
    scope_path: str, request_id: str, status: int, detail: str, errors: list[FieldError] | None = None
) -> bytes:
    """Return a problem document as bytes."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=scope_path,
        request_id=request_id,
        errors=errors or [],
    )
    return orjson.dumps(body.model_dump())


def answer(
    request: Request, status: int, detail: str, errors: list[FieldError] | None = None, headers: Any = None
) -> Response:
    """Return the problem document that answers `request`; for a service's own mapper of its error tree."""
    content = problem(request.url.path, request_id_of(request.scope), status, detail, errors)
    return Response(content, status, media_type=MEDIA_TYPE, headers=headers)


async def _on_problem(request: Request, error: ProblemError) -> Response:
    return answer(request, error.status, error.detail, headers=error.headers)


async def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    errors = [
        FieldError(field=".".join(str(part) for part in found["loc"]), message=found["msg"]) for found in error.errors()
    ]
    return answer(request, 422, "; ".join(f"{found.field}: {found.message}" for found in errors[:5]), errors)


async def _on_http(request: Request, error: HTTPException) -> Response:
    return answer(request, error.status_code, str(error.detail), headers=error.headers)
