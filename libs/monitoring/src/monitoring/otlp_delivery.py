"""Delivery of spans: a receiver that takes none is named once, not in each batch."""

import logging
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from monitoring.redaction import Redactor

_LIBRARY, _EXPORTER = "opentelemetry", "opentelemetry.exporter"
_MAX_REASON_CHARS = 300
_log = logging.getLogger(__name__)


class FirstWarning(logging.Handler):
    """Keeps the exporter's first warning about a batch: the reason. OpenTelemetry has several for each that fails."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message; that the queue is full, of each span that is dropped, is a consequence."""
        if not self.text and record.name.startswith(_EXPORTER):
            self.text = record.getMessage()


def take_over_warnings() -> FirstWarning:
    """Return the handler that gets OpenTelemetry's warnings from now on, and nobody else."""
    library, handler = logging.getLogger(_LIBRARY), FirstWarning()
    library.handlers[:] = [handler]
    library.propagate = False
    return handler


class AnnouncedExporter(SpanExporter):
    """Exports to a receiver, and logs when it begins to fail and when it takes spans again."""

    def __init__(self, exporter: SpanExporter, url: str, redactor: Redactor, warnings: FirstWarning) -> None:
        self._exporter = exporter
        self._url = url
        self._redactor = redactor
        self._warnings = warnings
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; one that fails is lost."""
        self._warnings.text = ""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever a foreign answer leads to, the thread that sends goes on
            self._warnings.text = self._warnings.text or f"{type(error).__name__}: {error}"
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            if self._is_failing:
                _log.info("the OTLP receiver %s takes spans again", self._url)
            self._is_failing = False
        elif not self._is_failing:
            self._is_failing = True
            reason = self._redactor.text(self._warnings.text)[:_MAX_REASON_CHARS]
            _log.warning(
                "the OTLP receiver %s (OTEL_EXPORTER_OTLP_ENDPOINT) takes no spans; they are lost until it does: %s",
                self._url,
                reason,
            )
        return result

    def shutdown(self) -> None:
        """End; a batch that is being sent is given up."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)
