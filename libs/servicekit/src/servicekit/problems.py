"""Errors of an application answered as problem documents, one handler for each kind."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from servicekit.problem_document import MEDIA_TYPE, FieldError, Problem, problem
from servicekit.request_ids import request_id_of


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


def unreadable_responses() -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` entry of what can't be read as HTTP or as the body that it names."""
    (entry,) = problem_responses(400).values()
    plain = {"text/plain": {"schema": {"type": "string"}}}
    return {
        400: {
            **entry,
            "description": "No HTTP, or too long a URL; or a broken body",
            "content": entry["content"] | plain,
        }
    }


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""
    app.exception_handler(ProblemError)(_on_problem)
    app.exception_handler(RequestValidationError)(_on_invalid)
    app.exception_handler(HTTPException)(_on_http)


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
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(error.__cause__, UnicodeDecodeError):
        # FastAPI's answer to a body that is no UTF-8; to one that is no JSON it says 422.
        unreadable = FieldError(field="body", message=str(error.__cause__.reason))
        return answer(request, 422, f"body: {unreadable.message}", [unreadable])
    return answer(request, error.status_code, str(error.detail), headers=error.headers)
