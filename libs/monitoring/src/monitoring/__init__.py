"""The one way to report a fault: the catalogue of points, reports, and their delivery to collector and gateway."""

from monitoring import testing
from monitoring.context import (
    ContextFields,
    bind_context,
    bound_context,
    bound_request,
    breadcrumb,
    current_context,
    note_outcome,
)
from monitoring.process import (
    counters,
    flush,
    init,
    log_redaction,
    recovered,
    redacted,
    report,
    request_ended,
    request_trace,
    shutdown,
    transaction,
    warn_without_init,
)
from monitoring.recoveries import Recoveries
from monitoring.settings import MonitoringSettings
from monitoring.tracing import headers as trace_headers
from monitoring.tracing import is_traced, span

__all__ = [
    "ContextFields",
    "MonitoringSettings",
    "Recoveries",
    "bind_context",
    "bound_context",
    "bound_request",
    "breadcrumb",
    "counters",
    "current_context",
    "flush",
    "init",
    "is_traced",
    "log_redaction",
    "note_outcome",
    "recovered",
    "redacted",
    "report",
    "request_ended",
    "request_trace",
    "shutdown",
    "span",
    "testing",
    "trace_headers",
    "transaction",
    "warn_without_init",
]
