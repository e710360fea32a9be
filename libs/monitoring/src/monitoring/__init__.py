"""The one way to report that something broke: catalogue, reports, and their delivery to collector and gateway."""

from monitoring import testing
from monitoring.context import Facts, breadcrumb, current_facts, facts, set_facts
from monitoring.process import counters, flush, init, log_redaction, recovered, report, shutdown
from monitoring.settings import MonitoringSettings

__all__ = [
    "Facts",
    "MonitoringSettings",
    "breadcrumb",
    "counters",
    "current_facts",
    "facts",
    "flush",
    "init",
    "log_redaction",
    "recovered",
    "report",
    "set_facts",
    "shutdown",
    "testing",
]
