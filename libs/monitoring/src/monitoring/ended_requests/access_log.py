"""Lines of the access log: one for each request that it takes, and one for what a second had too many of."""

import logging

from monitoring.ended_requests.ended_request import EndedRequest

# The log is for reading; all degraded and failed requests are in the gateway's index.
MAX_LINES_PER_SECOND = 50
_log = logging.getLogger("monitoring.requests")


def log_request(request: EndedRequest) -> None:
    """Log a request; the fields of a structured log are those of its record in the gateway."""
    _log.info("request", extra=request.described())


def log_left_out(count: int) -> None:
    """Log how many requests have no line."""
    _log.warning("%d more requests have no line here: at most %d a second", count, MAX_LINES_PER_SECOND)
