"""A log line for every first report and every sum of repeats, with and without a collector."""

import logging
import traceback

from monitoring.redaction import Redactor
from monitoring.reports import Report

_log = logging.getLogger("monitoring.reports")
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}
# Unexpected errors: their place in the code matters most. All others say what failed in a sentence.
_WITH_STACK = frozenset({"api.unhandled", "api.background_failed"})
# A deep recursion has a thousand frames; both ends are enough to recognise it.
MAX_FRAMES = 50


def log_report(report: Report, redactor: Redactor) -> None:
    """Log a first report, or the sum of its repeats within a window; an unhandled exception with its stack.

    The record's `point`, `request_id` or `request_ids`, and `occurrences` are fields of a structured log.
    """
    level = _LEVELS[report.level]
    if not _log.isEnabledFor(level):
        return
    fields: dict[str, object] = {"point": report.point_id}
    if report.occurrences > 1:
        fields |= {"occurrences": report.occurrences, "request_ids": list(report.request_ids)}
    elif report.request_ids:
        fields["request_id"] = report.request_ids[0]
    record = _log.makeRecord(_log.name, level, __file__, 0, "%s", (report.message,), None, extra=fields)
    if report.point_id in _WITH_STACK and report.error is not None and report.error.__traceback__ is not None:
        # Its text, redacted here: not every handler has our filter.
        record.exc_text = redactor.text("".join(_stack(report.error)).rstrip())
    _log.handle(record)


def _stack(error: BaseException) -> list[str]:
    stack = traceback.TracebackException.from_exception(error, limit=MAX_FRAMES, compact=True)
    return list(stack.format())
