"""The one way to report that something broke: catalogue, reports, and their delivery to collector and gateway."""

from monitoring import testing
from monitoring.context import Facts, breadcrumb, current_facts, facts, set_facts
from monitoring.process import (
    counters,
    flush,
    init,
    log_redaction,
    recovered,
    redacted,
    report,
    request_trace,
    shutdown,
    transaction,
)
from monitoring.recoveries import Recoveries
from monitoring.settings import MonitoringSettings
from monitoring.tracing import headers as trace_headers
from monitoring.tracing import is_traced, span

__all__ = [
    "Facts",
    "MonitoringSettings",
    "Recoveries",
    "breadcrumb",
    "counters",
    "current_facts",
    "facts",
    "flush",
    "init",
    "is_traced",
    "log_redaction",
    "recovered",
    "redacted",
    "report",
    "request_trace",
    "set_facts",
    "shutdown",
    "span",
    "testing",
    "trace_headers",
    "transaction",
]
