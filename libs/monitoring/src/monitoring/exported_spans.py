"""The port to a second destination of spans. `monitoring.otlp` implements it, and is only imported if it is set up."""

from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Protocol


class ExportedSpan(Protocol):
    """The span of the current task at the second destination."""

    @property
    def is_sampled(self) -> bool:
        """Whether it is sent."""

    def child(self, op: str, name: str | None) -> AbstractContextManager[None]:
        """Time a block as a part of it."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers that continue its trace in another service."""

    def ids(self) -> Mapping[str, str]:
        """Return `trace_id` and `span_id`."""

    def note_status(self, status: int) -> None:
        """Note the HTTP status that the request was answered with."""


class SpanExport(Protocol):
    """The second destination."""

    def transaction(self, op: str, name: str, headers: Mapping[str, str]) -> AbstractContextManager[None]:
        """Time a block as a part of the current trace, or as a trace that begins, or goes on from `headers`, here."""

    def request(self, scope: MutableMapping[str, Any]) -> AbstractContextManager[None]:
        """Trace the handling of an ASGI request, named by its route."""

    def flush(self, timeout: float) -> None:
        """Wait up to `timeout` (s) until everything is sent."""

    def close(self, timeout: float) -> None:
        """Flush and stop."""


# Not a token to reset: a generator may be closed in another context than the one it was started in.
current: ContextVar[ExportedSpan | None] = ContextVar("monitoring_exported_span", default=None)
