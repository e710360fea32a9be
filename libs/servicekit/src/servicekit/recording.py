"""Records a call in the audit log: before it is carried out, and its outcome after it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from contracts.person_names import decode_name
from servicekit.guards import Recorder

# Where the fields of a body are left for the record.
_FIELDS = "recsys.recorded_fields"
_UNEXPECTED = 500


async def record_call(
    recorder: Recorder, action: str, request: Request, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Answer a request and record it, with who and why as its header, query, JSON or form says."""
    entry = await recorder.begin(request, action)
    # Stays unknown if the call is cancelled.
    status: int | None = None
    try:
        response = await _answer_errors(request, answer)
        status = response.status_code
    except Exception:
        status = _UNEXPECTED
        raise
    finally:
        if status is not None:
            fields = {**request.query_params, **request.scope.get(_FIELDS, {})}
            by = _author(request) or fields.get("by") or fields.get("created_by")
            await recorder.complete(entry, status, by, fields.get("reason") or fields.get("comment"))
    return response


def note_fields(request: Request, body: Any) -> None:
    """Keep the fields of a body for the record of the call."""
    if isinstance(body, Mapping):
        request.scope[_FIELDS] = body


def _author(request: Request) -> str | None:
    header = request.headers.get("X-Deployed-By")
    try:
        return decode_name(header) if header else None
    except ValueError:
        # The route rejects it.
        return None


async def _answer_errors(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer a request, its expected errors too: only the application's handler of an error knows its status."""
    try:
        return await answer(request)
    except Exception as error:
        # The handler of `Exception` answers after the error was reported.
        kinds = [kind for kind in type(error).__mro__ if kind is not Exception]
        handlers = request.app.exception_handlers
        handler = next((handlers[kind] for kind in kinds if kind in handlers), None)
        if handler is None:
            raise
        answered: Response = await handler(request, error)
        return answered
