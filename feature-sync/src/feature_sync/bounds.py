"""Reports values that are above their bound, and their return."""

import time
from collections.abc import Callable
from typing import Any

import monitoring

# A monitor that has lost the first report gets another one; more would only be counted.
REPEAT_SECONDS = 300.0


class BoundWatch:
    """Watches the values of one monitoring point; a bound of 0 means none. `clock` gives seconds."""

    def __init__(self, point: str, bound: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._point = point
        self._bound = bound
        self._clock = clock
        self._recoveries = monitoring.Recoveries(point)
        self._reported_at: dict[str, float] = {}
        self._exceeded: set[str] = set()

    @property
    def is_exceeded(self) -> bool:
        """Whether a value was above the bound when it was checked last."""
        return bool(self._exceeded)

    def check(self, value: float, details: str, **parts: Any) -> None:
        """Report a value above the bound, or the end of that; `parts` fill the fingerprint and tell values apart."""
        key = "/".join(map(str, parts.values()))
        if not self._bound or value <= self._bound:
            self._exceeded.discard(key)
            self._reported_at.pop(key, None)
            self._recoveries.note_success(**parts)
            return
        self._exceeded.add(key)
        now = self._clock()
        if now - self._reported_at.get(key, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            self._reported_at[key] = now
            self._recoveries.note_failure(**parts)
            monitoring.report(self._point, details=details, value=round(value, 1), bound=self._bound, **parts)

    def forget(self, **parts: Any) -> None:
        """Report the end for a value that exists no more."""
        self.check(0.0, "", **parts)
