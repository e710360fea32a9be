"""Fields and breadcrumbs of the current request or job, in a context variable until an event is made."""

from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from types import MappingProxyType
from typing import Any, NamedTuple, TypedDict, Unpack

from contracts.request_records import MAX_POINTS
from monitoring.requests import AsgiScope
from monitoring.sdk_scopes import OuterScopes, enter_request, leave_request

MAX_BREADCRUMBS = 20
BREADCRUMB_LEVELS = frozenset({"debug", "info", "warning", "error", "fatal"})


class ContextFields(TypedDict, total=False):
    """Fields of a request, of a pipeline run or of a deployment; None means unknown."""

    request_id: str | None
    endpoint: str | None
    dataset_id: int | None
    user_id: int | None
    model_version: str | None
    model_variant: str | None
    experiment_variant: str | None
    degrade_reason: str | None
    dag_id: str | None
    task_id: str | None
    run_id: str | None
    model_name: str | None
    deployment_id: str | int | None


@dataclass(frozen=True, slots=True)
class Breadcrumb:
    """A step that led to an event."""

    message: str
    category: str
    level: str
    data: Mapping[str, object]
    at: float
    type: str = "default"

    @property
    def timestamp(self) -> str:
        """When it happened, in ISO 8601."""
        return datetime.fromtimestamp(self.at, UTC).isoformat()


Trail = deque[Breadcrumb]
_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})


# A monitoring point that fired, and its fingerprint.
Fired = tuple[str, tuple[str, ...]]


class RequestOutcome(NamedTuple):
    """Of a degraded or failed request: the fallback level, the reason, and the number of items in the answer."""

    level: int | None
    reason: str | None
    items: int | None


class _Scope:
    __slots__ = ("_trail", "fields", "fired", "outcome", "request", "whole")

    def __init__(
        self,
        fields: Mapping[str, Any] = _NO_FIELDS,
        trail: Trail | None = None,
        request: AsgiScope | None = None,
        whole: "_Scope | None" = None,
    ) -> None:
        # Of a block within a request: the request's own scope.
        self.whole = whole
        self.outcome: RequestOutcome | None = None
        self.fired: tuple[Fired, ...] = ()
        # Replaced, never changed: a reference to the mapping is a snapshot.
        self.fields = fields
        self._trail = trail
        self.request = request

    @property
    def trail(self) -> Trail:
        # Made when it is first needed: most requests leave no breadcrumb.
        if self._trail is None:
            self._trail = deque(maxlen=MAX_BREADCRUMBS)
        return self._trail


_current: ContextVar[_Scope | None] = ContextVar("monitoring_scope", default=None)


class bound_context:  # noqa: N801 - reads as the statement that it is: `with bound_context(request_id=...)`
    """Add fields for the length of a block.

    A block that names a `request_id` begins a request. Its fields, breadcrumbs and SDK scopes are its own, and are
    shared by the tasks that it starts. It may be inside another request's block, where a client sends several requests.
    Any other block adds to the fields of the block around it.
    """

    __slots__ = ("_fields", "_outer", "_outer_scopes", "_request")

    def __init__(self, **fields: Unpack[ContextFields]) -> None:
        self._fields = fields
        self._request: AsgiScope | None = None
        self._outer: _Scope | None = None
        self._outer_scopes: OuterScopes | None = None

    def __enter__(self) -> None:
        self._outer = outer = _current.get()
        if "request_id" in self._fields:
            self._outer_scopes = enter_request()
            scope = _Scope(self._fields, request=self._request)
        elif outer is None:
            scope = _Scope(self._fields)
        else:
            scope = _Scope({**outer.fields, **self._fields}, outer.trail, outer.request, outer.whole or outer)
        _current.set(scope)

    def __exit__(self, *_: object) -> None:
        # Not a token: a generator may be closed in another context than the one it was started in.
        _current.set(self._outer)
        if self._outer_scopes is not None:
            leave_request(self._outer_scopes)


class bound_request(bound_context):  # noqa: N801 - as above
    """Begin the handling of an ASGI request: its events also carry its method, path, route and headers."""

    __slots__ = ()

    def __init__(self, request: AsgiScope, request_id: str) -> None:
        # Not by the base class: two calls less for every request.
        self._fields = {"request_id": request_id}
        self._request = request
        self._outer = None
        self._outer_scopes = None


def bind_context(**fields: Unpack[ContextFields]) -> None:
    """Add fields to the current block (or, outside of any, to the current task)."""
    scope = _own_scope()
    scope.fields = {**scope.fields, **fields}


def breadcrumb(message: str, *, category: str, level: str = "info", **data: object) -> None:
    """Leave a breadcrumb for the events of the current block, which carry the last 20."""
    if level not in BREADCRUMB_LEVELS:
        level = "info"
    _own_scope().trail.append(Breadcrumb(message, category, level, data, time()))


def note_outcome(*, level: int | None = None, reason: str | None = None, items: int | None = None) -> None:
    """Note how the current request was degraded or failed, for the gateway's index and the access log."""
    scope = _current.get()
    if scope is not None:
        (scope.whole or scope).outcome = RequestOutcome(level, reason, items)


def note_fired(point_id: str, fingerprint: tuple[str, ...]) -> None:
    """Note a monitoring point that the current request has reported."""
    scope = _current.get()
    if scope is None:
        return
    scope = scope.whole or scope
    fired = (point_id, fingerprint)
    if len(scope.fired) < MAX_POINTS and fired not in scope.fired:
        scope.fired = (*scope.fired, fired)


def request_notes() -> tuple[RequestOutcome | None, tuple[Fired, ...]]:
    """Return what was noted of the current request: its outcome if it is degraded or failed, and its points."""
    scope = _current.get()
    return (None, ()) if scope is None else (scope.outcome, scope.fired)


def current_context() -> dict[str, Any]:
    """Return the current fields that are not None."""
    return {name: value for name, value in context_fields().items() if value is not None}


def context_fields() -> Mapping[str, Any]:
    """Return a snapshot of the current fields, those that are None included."""
    scope = _current.get()
    return _NO_FIELDS if scope is None else scope.fields


def current_request() -> AsgiScope | None:
    """Return the current ASGI request, or None outside of one."""
    scope = _current.get()
    return None if scope is None else scope.request


def snapshot() -> tuple[Mapping[str, Any], tuple[Breadcrumb, ...]]:
    """Return snapshots of the current fields and of the current trail, oldest first."""
    scope = _current.get()
    return (_NO_FIELDS, ()) if scope is None else (scope.fields, tuple(scope.trail))


def _own_scope() -> _Scope:
    scope = _current.get()
    if scope is None:
        scope = _Scope()
        _current.set(scope)
    return scope
