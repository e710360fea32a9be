"""Sends spans to an OTLP/HTTP receiver (Jaeger, Tempo, an OpenTelemetry collector), with W3C `traceparent`.

OpenTelemetry takes 8 MB and a quarter of a second to import, so this module is only imported if an endpoint is set.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers

from monitoring import exported_spans
from monitoring.context import current_context
from monitoring.events import Origin
from monitoring.otlp_delivery import AnnouncedExporter, take_over_warnings
from monitoring.redaction import Redactor
from monitoring.requests import route_of
from monitoring.settings import TRACES_PATH

TIMEOUT_SECONDS = 5.0
# An id is personal data, and a trace is read by more people than an event.
_LEFT_OUT = frozenset({"user_id"})
_CARRIERS = frozenset({"traceparent", "tracestate"})
_PROPAGATOR = TraceContextTextMapPropagator()


@dataclass(frozen=True)
class Receiver:
    """Where spans go, the headers that it asks for (`name=value`, separated by commas), and the share of traces."""

    url: str
    headers: str
    share: float


class OtlpTraces:
    """The spans of one process. Requests to `ignored` paths have none."""

    def __init__(
        self, service: str, origin: Origin, receiver: Receiver, redactor: Redactor, ignored: Collection[str]
    ) -> None:
        self._ignored = ignored
        self._redactor = redactor
        warnings = take_over_warnings()
        exporter = OTLPSpanExporter(
            endpoint=receiver.url.rstrip("/") + TRACES_PATH,
            headers=parse_env_headers(receiver.headers, liberal=True),
            timeout=TIMEOUT_SECONDS,
        )
        resource = Resource.create(
            {
                "service.name": service,
                "service.version": origin.release,
                "deployment.environment.name": origin.environment,
                "host.name": origin.server_name,
            }
        )
        # `Runtime` flushes and closes it.
        self._provider = TracerProvider(
            ParentBased(TraceIdRatioBased(receiver.share)), resource, shutdown_on_exit=False
        )
        announced = AnnouncedExporter(exporter, receiver.url, redactor, warnings)
        # The library's defaults. Not given, it would read them from variables of its own.
        batches = BatchSpanProcessor(
            announced, max_queue_size=2048, schedule_delay_millis=5000, max_export_batch_size=512
        )
        self._provider.add_span_processor(batches)
        self._tracer = self._provider.get_tracer("recsys.monitoring")

    def transaction(self, op: str, name: str, headers: Mapping[str, str]) -> AbstractContextManager[None]:
        """See `SpanExport`."""
        outer = exported_spans.current.get()
        title = f"{op} {name}"
        return self._transaction(title, headers) if outer is None else outer.child(title, None)

    def request(self, scope: MutableMapping[str, Any]) -> AbstractContextManager[None]:
        """See `SpanExport`."""
        return nullcontext() if scope["path"] in self._ignored else self._request(scope)

    def flush(self, timeout: float) -> None:
        """See `SpanExport`."""
        _run_within(timeout, self._provider.force_flush)

    def close(self, timeout: float) -> None:
        """See `SpanExport`."""
        self.flush(timeout)
        _run_within(timeout, self._provider.shutdown)

    @contextmanager
    def _transaction(self, title: str, headers: Mapping[str, str]) -> Iterator[None]:
        with self._root(title, headers, SpanKind.INTERNAL):
            yield

    @contextmanager
    def _request(self, scope: MutableMapping[str, Any]) -> Iterator[None]:
        found = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        carried = {name: value for name, value in found if name in _CARRIERS}
        method = scope["method"]
        # Renamed at the end: the path may name a user, and its route is not known yet.
        with self._root(method, carried, SpanKind.SERVER) as opened:
            opened.span.set_attribute("http.request.method", method)
            try:
                yield
            finally:
                # A service without routes binds an `endpoint`.
                route = route_of(scope) or current_context().get("endpoint")
                if route:
                    opened.span.update_name(f"{method} {route}")
                    opened.span.set_attribute("http.route", route)

    @contextmanager
    def _root(self, title: str, headers: Mapping[str, str], kind: SpanKind) -> Iterator["_OpenSpan"]:
        context = _PROPAGATOR.extract(headers)
        span = self._tracer.start_span(self._redactor.text(title), context, kind)
        opened = _OpenSpan(span, self._tracer, self._redactor)
        with _entered(opened):
            try:
                yield opened
            finally:
                for name, value in current_context().items():
                    if name not in _LEFT_OUT:
                        span.set_attribute(name, self._redactor.text(str(value)))


@dataclass(frozen=True, slots=True)
class _OpenSpan:
    span: Span
    tracer: Tracer
    redactor: Redactor

    @property
    def is_sampled(self) -> bool:
        return self.span.is_recording()

    def child(self, op: str, name: str | None) -> AbstractContextManager[None]:
        return self._child(op, name) if self.is_sampled else nullcontext()

    def headers(self) -> Mapping[str, str]:
        carried: dict[str, str] = {}
        _PROPAGATOR.inject(carried, set_span_in_context(self.span))
        return carried

    def ids(self) -> Mapping[str, str]:
        found = self.span.get_span_context()
        return {"trace_id": f"{found.trace_id:032x}", "span_id": f"{found.span_id:016x}"}

    def note_status(self, status: int) -> None:
        self.span.set_attribute("http.response.status_code", status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def _child(self, op: str, name: str | None) -> Iterator[None]:
        span = self.tracer.start_span(self.redactor.text(op), set_span_in_context(self.span))
        if name is not None:
            span.set_attribute("name", self.redactor.text(name))
        with _entered(_OpenSpan(span, self.tracer, self.redactor)):
            yield


@contextmanager
def _entered(opened: _OpenSpan) -> Iterator[None]:
    outer = exported_spans.current.get()
    exported_spans.current.set(opened)
    try:
        yield
    except Exception as error:
        # Not its message, which may quote data.
        opened.span.set_attribute("error.type", type(error).__name__)
        opened.span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        exported_spans.current.set(outer)
        opened.span.end()


def _run_within(seconds: float, call: Callable[[], object]) -> None:
    """Run a call on a thread of its own, and wait no longer: OpenTelemetry ignores the timeouts it is given."""
    thread = threading.Thread(target=call, name="otlp-flush", daemon=True)
    thread.start()
    thread.join(seconds)
