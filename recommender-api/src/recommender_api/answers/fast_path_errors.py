"""Exceptions that only the fast path raises: the usual way answers the request, and the exception is reported."""

from collections.abc import Callable
from typing import Literal

import monitoring

# Recognize a simple request; recall and rank it in one compiled call.
FastPathStep = Literal["match", "rank"]


class FastPathErrors:
    """Counts and reports them; `count` takes the step."""

    def __init__(self, count: Callable[[FastPathStep], None]) -> None:
        self._count = count

    def report(self, step: FastPathStep, error: Exception) -> None:
        """Count an exception, and report it as `api.unhandled` of the endpoint `fast path: <step>`."""
        self._count(step)
        monitoring.report("api.unhandled", error=error, endpoint=f"fast path: {step}", method="GET")
