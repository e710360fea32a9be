"""ContextFields and breadcrumbs of the current request or job, in a context variable until an event is made."""

from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from types import MappingProxyType
from typing import Any, TypedDict, Unpack

MAX_BREADCRUMBS = 20
BREADCRUMB_LEVELS = frozenset({"debug", "info", "warning", "error", "fatal"})


class ContextFields(TypedDict, total=False):
    """What is known of a request, of a run of the pipeline or of a deployment; None means unknown."""

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
    """Something that happened on the way to an event."""

    message: str
    category: str
    level: str
    data: Mapping[str, object]
    at: float

    @property
    def timestamp(self) -> str:
        """When it happened, in ISO 8601."""
        return datetime.fromtimestamp(self.at, UTC).isoformat()


Trail = deque[Breadcrumb]
_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})


class _Scope:
    __slots__ = ("_trail", "fields")

    def __init__(self, fields: Mapping[str, Any] = _NO_FIELDS, trail: Trail | None = None) -> None:
        # Replaced, never changed: who holds the mapping holds a snapshot.
        self.fields = fields
        self._trail = trail

    @property
    def trail(self) -> Trail:
        # Made when it is first needed: a request that nothing happens to leaves none.
        if self._trail is None:
            self._trail = deque(maxlen=MAX_BREADCRUMBS)
        return self._trail


_current: ContextVar[_Scope | None] = ContextVar("monitoring_scope", default=None)


class bound_context:  # noqa: N801 - reads as the statement that it is: `with bound_context(request_id=...)`
    """Add fields for the length of a block.

    A block that names a `request_id` begins a request: its fields and breadcrumbs are its own, shared by the tasks that
    it starts. It may stand within another's, where a client sends its questions in a row. Any other block adds to those
    of the block around it.
    """

    __slots__ = ("_known", "_outer")

    def __init__(self, **known: Unpack[ContextFields]) -> None:
        self._known = known
        self._outer: _Scope | None = None

    def __enter__(self) -> None:
        self._outer = outer = _current.get()
        if outer is None or "request_id" in self._known:
            scope = _Scope(self._known)
        else:
            scope = _Scope({**outer.fields, **self._known}, outer.trail)
        _current.set(scope)

    def __exit__(self, *_: object) -> None:
        # Not a token: a generator may be closed in another context than the one it was started in.
        _current.set(self._outer)


def bind_context(**known: Unpack[ContextFields]) -> None:
    """Add fields to the current block (or, outside of any, to the current task)."""
    scope = _own_scope()
    scope.fields = {**scope.fields, **known}


def breadcrumb(message: str, *, category: str, level: str = "info", **data: object) -> None:
    """Leave a breadcrumb that goes along with the events of the current block; the last 20 are kept."""
    if level not in BREADCRUMB_LEVELS:
        level = "info"
    _own_scope().trail.append(Breadcrumb(message, category, level, data, time()))


def current_context() -> dict[str, Any]:
    """Return what is known of the current request."""
    return {name: value for name, value in context_fields().items() if value is not None}


def context_fields() -> Mapping[str, Any]:
    """Return a snapshot of the current fields, those that are None included."""
    scope = _current.get()
    return _NO_FIELDS if scope is None else scope.fields


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
