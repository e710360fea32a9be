"""Errors of an application answered as problem documents, one handler for each kind."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from servicekit.errors import ServiceError
from servicekit.problem_document import MEDIA_TYPE, FieldError, Problem, problem
from servicekit.request_ids import request_id_of


class ProblemError(Exception):
    """An error that is answered as it stands, for endpoints; the domain raises a `ServiceError`."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


_MEANINGS = {
    401: "The token is missing or wrong",
    403: "The token's role or models don't open this",
    408: "The body stopped coming for 30 s",
    422: "A parameter or the body is invalid; `errors` names the fields",
    500: "An unexpected error; it was reported as `api.unhandled`",
    503: "The service cannot answer now; repeat the request later",
}


def problem_responses(*statuses: int, **meanings: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` entry of the named statuses.

    What a status means on a route is given by the status's name: `not_found="There is no such version"`.
    """
    described = {status: _MEANINGS[status] for status in statuses}
    described |= {HTTPStatus[name.upper()].value: meaning for name, meaning in meanings.items()}
    return {
        status: {
            "model": Problem,
            "description": meaning,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, meaning in described.items()
    }


def unreadable_responses() -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` entry of what can't be read as HTTP or as the body that it names."""
    responses = problem_responses(bad_request="The request is not HTTP, its head is too long, or its body is broken")
    responses[400]["content"]["text/plain"] = {"schema": {"type": "string"}}
    return responses


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""
    app.exception_handler(ProblemError)(_on_problem)
    app.exception_handler(ServiceError)(_on_service_error)
    app.exception_handler(RequestValidationError)(_on_invalid)
    app.exception_handler(HTTPException)(_on_http)
    app.exception_handler(ClientDisconnect)(_on_disconnect)


def answer(
    request: Request, status: int, detail: str, errors: list[FieldError] | None = None, headers: Any = None
) -> Response:
    """Return the problem document that answers `request`; for a service's own mapper of its error tree."""
    # Not `request.url`: it is made with the header `Host`, whatever that is.
    content = problem(request.scope["path"], request_id_of(request.scope), status, detail, errors)
    return Response(content, status, media_type=MEDIA_TYPE, headers=headers)


async def _on_problem(request: Request, error: ProblemError) -> Response:
    return answer(request, error.status, error.detail, headers=error.headers)


async def _on_service_error(request: Request, error: ServiceError) -> Response:
    headers = None if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return answer(request, error.status, str(error), headers=headers)


async def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    errors = [
        FieldError(field=".".join(str(part) for part in found["loc"]), message=found["msg"]) for found in error.errors()
    ]
    return answer(request, 422, "; ".join(f"{found.field}: {found.message}" for found in errors[:5]), errors)


async def _on_disconnect(request: Request, _error: ClientDisconnect) -> Response:
    # Nobody reads it; but a client that leaves is no fault of the service.
    return answer(request, 400, "The connection ended before the body did.")


async def _on_http(request: Request, error: HTTPException) -> Response:
    return answer(request, error.status_code, str(error.detail), headers=error.headers)
