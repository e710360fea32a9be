"""Reports findings about the contents of events, and their end."""

import time
from collections.abc import Callable

import monitoring

POINT = "pipeline.data_quality"
UNREADABLE, DROPPED = "stream_entry", "dead_letters_dropped"
# One good entry after a bad one is not enough evidence.
CLEAN_SECONDS = 900.0


class EventFindings:
    """Reports findings, and their end after a quarter of an hour without one; `clock` gives seconds.

    For findings of an earlier process the time without one begins with this process.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        now = clock()
        self._last = dict.fromkeys((UNREADABLE, DROPPED), now)

    def found(self, check: str, details: str, count: int) -> None:
        """Report that `count` entries fail a check."""
        self._last[check] = self._clock()
        monitoring.report(POINT, check_name=check, severity="warning", details=details, metric_value=count, threshold=0)

    def note_progress(self) -> None:
        """Called while entries are processed: report once the recovery of findings that are old enough."""
        now = self._clock()
        for check in [each for each, last in self._last.items() if now - last >= CLEAN_SECONDS]:
            del self._last[check]
            monitoring.recovered(POINT, check_name=check)
