"""Counters of events, signals and requests, for a service's /metrics: plain integers, written from any thread."""

import threading
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Counters:
    """Numbers of events, signals and recorded requests by outcome since `init()`."""

    events_delivered: int = 0
    events_spooled: int = 0
    events_resent: int = 0
    events_rejected: int = 0
    events_dropped: int = 0
    events_filtered: int = 0
    before_send_failures: int = 0
    signals_delivered: int = 0
    signals_spooled: int = 0
    signals_resent: int = 0
    signals_rejected: int = 0
    signals_dropped: int = 0
    requests_delivered: int = 0
    requests_left_out: int = 0
    request_lines_left_out: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, name: str, amount: int = 1) -> None:
        """Add to one counter; `+=` alone loses counts between threads."""
        with self._lock:
            setattr(self, name, getattr(self, name) + amount)

    def snapshot(self) -> dict[str, int]:
        """Return all counters by name."""
        return {each.name: getattr(self, each.name) for each in fields(self) if not each.name.startswith("_")}
