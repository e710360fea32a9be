"""Progress lines of a step that works through many rows."""

import logging
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 10.0


class Progress:
    """Logs every ten seconds how many rows are done, and the time left if their number is known."""

    def __init__(self, what: str, total: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._total = total
        self._clock = clock
        self._began = self._logged = clock()
        self._done = 0

    def advance(self, rows: int) -> None:
        """Count further rows."""
        self._done += rows
        now = self._clock()
        if now - self._logged >= _EVERY_SECONDS:
            self._logged = now
            _log.info("%s: %s", self._what, self._describe(now - self._began))

    def _describe(self, seconds: float) -> str:
        if self._total is None:
            return f"{self._done:,} rows, {self._done / seconds:,.0f} a second"
        left = seconds / max(1, self._done) * (self._total - self._done)
        share = 100 * self._done / max(1, self._total)
        return f"{self._done:,} of {self._total:,} ({share:.0f} %), {_span(left)} left"


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"
