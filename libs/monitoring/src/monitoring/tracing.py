"""Our own spans around what takes time, sent to Sentry as transactions, and to an OTLP receiver if one is set.

With tracing off, they only read two variables.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import sentry_sdk
from sentry_sdk.consts import SPANSTATUS
from sentry_sdk.tracing import BAGGAGE_HEADER_NAME, SENTRY_TRACE_HEADER_NAME, Span, Transaction

from monitoring import exported_spans
from monitoring.context import current_context
from monitoring.exported_spans import SpanExport

_CARRIERS = frozenset({SENTRY_TRACE_HEADER_NAME, BAGGAGE_HEADER_NAME})
NOTHING: AbstractContextManager[None] = nullcontext()
# The span of the current task, sampled or not: a trace that is not sampled here is not sampled in other services.
_current: ContextVar[Span | None] = ContextVar("monitoring_span", default=None)


def sampler(rate: float, ignored: Iterable[str]) -> Callable[[dict[str, Any]], float]:
    """Return the SDK's `traces_sampler`: ignored paths never, a continued trace as it began, all else at `rate`."""
    never = frozenset(ignored)

    def sample(context: dict[str, Any]) -> float:
        if context["transaction_context"]["name"] in never:
            return 0.0
        parent = context["parent_sampled"]
        return rate if parent is None else float(parent)

    return sample


def span(op: str, name: str | None = None) -> AbstractContextManager[None]:
    """Time a block as a part of the current trace; do nothing outside of a sampled trace."""
    exported = exported_spans.current.get()
    own = _span(op, name)
    return own if exported is None else _both(own, exported.child(op, name))


def is_traced() -> bool:
    """Return whether spans are timed here."""
    exported = exported_spans.current.get()
    return _sampled() is not None or (exported is not None and exported.is_sampled)


def transaction(
    op: str, name: str, headers: Mapping[str, str] | None = None, *, on: bool, export: SpanExport | None
) -> AbstractContextManager[object]:
    """Time a block as a part of the current trace, or as a trace that begins, or goes on from `headers`, here."""
    own: AbstractContextManager[object] = NOTHING
    if on:
        own = _transaction(op, name, headers or {}) if _current.get() is None else _span(op, name)
    return own if export is None else _both(own, export.transaction(op, name, headers or {}))


def request(scope: MutableMapping[str, Any], *, on: bool, export: SpanExport | None) -> AbstractContextManager[None]:
    """Trace the handling of an ASGI request, named by its route."""
    own = _request(scope) if on else NOTHING
    return own if export is None else _both(own, export.request(scope))


def note_status(status: int) -> None:
    """Note the HTTP status that the current request was answered with."""
    exported = exported_spans.current.get()
    if exported is not None:
        exported.note_status(status)


def headers() -> dict[str, str]:
    """Return the headers that continue the current trace in another service; none outside of a trace."""
    current, exported = _current.get(), exported_spans.current.get()
    own = {} if current is None else dict(current.iter_headers())
    return own if exported is None else {**own, **exported.headers()}


def context() -> Mapping[str, str] | None:
    """Return the ids of the current trace and span, as an event names them: Sentry's own, or else the exported ones."""
    current, exported = _current.get(), exported_spans.current.get()
    if current is not None:
        return {"trace_id": current.trace_id, "span_id": current.span_id}
    return None if exported is None else exported.ids()


def _span(op: str, name: str | None) -> AbstractContextManager[None]:
    parent = _sampled()
    return NOTHING if parent is None else _child(parent, op, name)


def _sampled() -> Span | None:
    parent = _current.get()
    return parent if parent is not None and parent.sampled else None


@contextmanager
def _both(first: AbstractContextManager[object], second: AbstractContextManager[object]) -> Iterator[None]:
    with first, second:
        yield


@contextmanager
def _transaction(op: str, name: str, headers: Mapping[str, str]) -> Iterator[Transaction | None]:
    scope = sentry_sdk.Scope()
    begun = scope.start_transaction(scope.continue_trace(dict(headers), op=op, name=name, source="custom"))
    if not isinstance(begun, Transaction):
        # The SDK was initialised again with other settings.
        yield None
        return
    try:
        with _entered(begun):
            yield begun
    finally:
        for field, value in current_context().items():
            begun.set_tag(field, str(value))
        begun.finish(scope)


@contextmanager
def _request(scope: MutableMapping[str, Any]) -> Iterator[None]:
    found = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    carried = {name: value for name, value in found if name in _CARRIERS}
    with _transaction("http.server", scope["path"], carried) as begun:
        try:
            yield
        finally:
            # The route is known only now; a service without routes binds an `endpoint`.
            route = scope.get("route")
            named = getattr(route, "path_format", None) or getattr(route, "path", None)
            path = named or current_context().get("endpoint") or scope["path"]
            if begun is not None:
                begun.name = f"{scope['method']} {path}"


@contextmanager
def _child(parent: Span, op: str, name: str | None) -> Iterator[None]:
    begun = parent.start_child(op=op, name=name or op)
    try:
        with _entered(begun):
            yield
    finally:
        begun.finish()


@contextmanager
def _entered(begun: Span) -> Iterator[None]:
    outer = _current.get()
    _current.set(begun)
    try:
        yield
    except Exception:
        begun.set_status(SPANSTATUS.INTERNAL_ERROR)
        raise
    finally:
        _current.set(outer)
