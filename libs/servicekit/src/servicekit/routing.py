"""Routes that look at a request's headers and query before they read its body.

FastAPI reads a body, and spools an upload to the disk, before any dependency runs. These routes answer 401, 413 and 422
first. What they then read is bounded, and JSON is checked before it is parsed.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar, get_origin
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Request, Response, params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.bodies import MAX_BODY_BYTES, JsonRequest, bounded, check_length, invalid, size_text
from servicekit.guards import Guard, Recorder
from servicekit.problems import problem_responses, unreadable_responses
from servicekit.recording import note_fields, record_call

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class BoundedRoute(APIRoute):
    """Checks guards, size and query first. `max_body_size` is how many bytes of a body it takes; routers take none.

    Where it answers JSON, a query parameter that is unknown or given twice is refused: no filter is lost to a typing
    slip.
    """

    ignores_unknown_query: ClassVar[bool] = False

    def __init__(self, *args: Any, max_body_size: int | None = None, **more: Any) -> None:
        # Not handed on: FastAPI would answer a body that is too large in plain text, and after the call has run.
        self.max_body_bytes = MAX_BODY_BYTES if max_body_size is None else max_body_size
        super().__init__(*args, **more)
        self.responses = self._error_responses() | self.responses

    @property
    def guards(self) -> list[Guard]:
        """What is checked before the body is read."""
        dependencies: list[object] = [each.dependency for each in self.dependencies]
        return [each for each in dependencies if isinstance(each, Guard)]

    def _error_responses(self) -> dict[int | str, dict[str, Any]]:
        """Return the errors that this class answers, for the OpenAPI document: those that the route can give."""
        takes_body = self.body_field is not None or "requestBody" in (self.openapi_extra or {})
        takes_input = takes_body or bool(get_flat_params(self.dependant))
        statuses = self._guard_statuses()
        too_long = {}
        if takes_body:
            statuses.append(408)
            too_long = problem_responses(
                request_entity_too_large=f"The body is larger than {size_text(self.max_body_bytes)}"
            )
        if takes_input:
            return unreadable_responses() | too_long | problem_responses(*statuses, 422)
        if self._is_strict_about_query:
            return problem_responses(*statuses, unprocessable_entity="The route takes no query parameters")
        return problem_responses(*statuses)

    def _guard_statuses(self) -> list[int]:
        statuses = {status for guard in self.guards for status in guard.statuses}
        return sorted(statuses | {503} if self._recorder is not None else statuses)

    @property
    def _recorder(self) -> Recorder | None:
        is_change = bool((self.methods or set()) - {"GET", "HEAD"})
        return next((guard.recorder for guard in self.guards if guard.recorder is not None and is_change), None)

    @property
    def _is_strict_about_query(self) -> bool:
        return isinstance(self.response_class, DefaultPlaceholder) and not self.ignores_unknown_query

    def get_route_handler(self) -> Handler:
        """Return what answers a request; FastAPI calls this when the route is made."""
        handle = super().get_route_handler()
        guards, max_bytes = self.guards, self.max_body_bytes
        parameters = _query_parameters(self.dependant) if self._is_strict_about_query else None
        reads_form = self.body_field is not None and isinstance(self.body_field.field_info, params.Form)
        reads_json = self.body_field is not None and not reads_form
        path = self.path
        recorder = self._recorder

        async def answer(request: Request, length: int) -> Response:
            if length == 0:
                return await handle(request)
            receive = bounded(request.receive, max_bytes)
            if not reads_json:
                form_request = Request(request.scope, receive)
                response = await handle(form_request)
                if recorder is not None and reads_form:
                    note_fields(request, await form_request.form())
                return response
            json_request = JsonRequest(request.scope, receive)
            await json_request.read_json()
            note_fields(request, await json_request.json())
            return await handle(json_request)

        async def enter(request: Request) -> Response:
            for guard in guards:
                guard.check(request.scope)
            length = check_length(request.scope, max_bytes)
            if parameters is not None:
                _check_encoding("path", request.scope.get("raw_path") or b"")
                if request.scope["query_string"]:
                    _check_query(request, parameters)
            if recorder is None:
                return await answer(request, length)
            return await record_call(recorder, f"{request.method} {path}", request, partial(answer, length=length))

        return enter


class LenientRoute(BoundedRoute):
    """The same for forms and hooks, to which others add parameters of their own."""

    ignores_unknown_query = True


class WithoutBody:
    """An ASGI application before which a body that is too large is refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        check_length(scope, MAX_BODY_BYTES)
        await self._app(scope, receive, send)


class ApiRouter(APIRouter):
    """A router of routes for programs."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, route_class=BoundedRoute, **more)


class LenientRouter(APIRouter):
    """A router of pages and hooks."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, route_class=LenientRoute, **more)


def _check_query(request: Request, parameters: dict[str, bool]) -> None:
    seen = set()
    for name, _ in request.query_params.multi_items():
        may_repeat = parameters.get(name)
        if may_repeat is None:
            known = f"known are {', '.join(parameters)}" if parameters else "there are none here"
            raise invalid(f"query.{name}", f"unknown; {known}")
        if name in seen and not may_repeat:
            raise invalid(f"query.{name}", "given twice")
        seen.add(name)
    _check_encoding("query", request.scope["query_string"])


def _check_encoding(part: str, raw: bytes) -> None:
    # What isn't UTF-8 has been decoded to U+FFFD by now, and two different ids are one.
    if b"%" not in raw:
        return
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise invalid(part, "holds percent-encoded bytes that are not UTF-8") from error


def _query_parameters(dependant: Dependant) -> dict[str, bool]:
    """Return the names of a route's query parameters, and whether each may be given more than once."""
    found: dict[str, bool] = {}
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= {(one.alias or name): _is_list(one) for name, one in annotation.model_fields.items()}
        else:
            found[field.alias] = _is_list(field.field_info)
    for inner in dependant.dependencies:
        found |= _query_parameters(inner)
    return found


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is list
