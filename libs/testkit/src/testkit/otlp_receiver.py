"""An OTLP/HTTP receiver of spans, as Jaeger and Tempo are: it decodes what it gets."""

import gzip
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from localservers.waiting import wait_until


@dataclass(frozen=True)
class ReceivedSpan:
    """A span with the attributes of its own and those of its process; ids are in hexadecimal digits."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    failed: bool
    attributes: Mapping[str, object]
    resource: Mapping[str, object]


class OtlpReceiver(ThreadingHTTPServer):
    """Listens on a free port from `with` on; `spans`, `headers` and `bodies` grow as exports arrive."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.spans: list[ReceivedSpan] = []
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[bytes] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def wait_for(self, service: str, name: str, *, within: float = 60) -> ReceivedSpan:
        """Wait for a span of a service by its name and return the first; raises `localservers.waiting.TooLateError`."""

        def found() -> list[ReceivedSpan]:
            return [span for span in list(self.spans) if (span.service, span.name) == (service, name)]

        wait_until(lambda: bool(found()), within=within, what=f"the span {name!r} of {service} arrives")
        return found()[0]


class _Handler(BaseHTTPRequestHandler):
    server: OtlpReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
            self.send_error(404)
            return
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.bodies.append(body)
        self.server.spans += _decode(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so in the base class
        """Silence."""


def _decode(body: bytes) -> list[ReceivedSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        ReceivedSpan(
            service=str(process["service.name"]),
            name=span.name,
            kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            failed=span.status.code == span.status.STATUS_CODE_ERROR,
            attributes=_values(list(span.attributes)),
            resource=process,
        )
        for group in request.resource_spans
        for process in [_values(list(group.resource.attributes))]
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _values(attributes: list[KeyValue]) -> dict[str, object]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes}
