"""Counts the repeats of a fault within a window, so that an outage does not cause a flood of events."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

WINDOW_SECONDS = 60.0
MAX_REQUEST_IDS = 10
# Bounds the memory if a fingerprint has an unbounded part (a bug): beyond it, the oldest window closes early.
MAX_OPEN_WINDOWS = 10_000

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Repeats(Generic[K, T]):
    """The repeats of one window: `last` is the newest of them; times in seconds of the coalescer's clock."""

    key: K
    occurrences: int
    first_seen: float
    last_seen: float
    request_ids: tuple[str, ...]
    last: T


class _Window(Generic[T]):
    __slots__ = ("count", "ends", "first_seen", "last", "last_seen", "request_ids")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self._reset()

    def _reset(self) -> None:
        self.count = 0
        self.first_seen = self.last_seen = 0.0
        self.request_ids: list[str] = []
        self.last: T | None = None

    def take(self, key: K) -> Repeats[K, T] | None:
        if not self.count:
            return None
        last = cast("T", self.last)
        taken = Repeats(key, self.count, self.first_seen, self.last_seen, tuple(self.request_ids), last)
        self._reset()
        return taken


class Coalescer(Generic[K, T]):
    """Passes the first report of a key immediately and sums up its repeats at the end of each window.

    While a fault continues, its next window begins where the previous one ended, so there is one event per window.
    After a window without repeats the next report is a first one again. May be called from any thread.
    """

    def __init__(self, window: float = WINDOW_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = window
        self.clock = clock
        # Numbers of reports.
        self.firsts = 0
        self.repeats = 0
        self._lock = threading.Lock()
        # Ordered by end, because all windows have the same length.
        self._open: dict[K, _Window[T]] = {}
        self._overflow: list[Repeats[K, T]] = []

    def observe(self, key: K, report: T, request_id: str | None = None) -> bool:
        """Return True if the report is a first one and must be sent now. Otherwise it is counted."""
        # The cost of a repeat is the cost of an outage, so nothing here is split into functions.
        with self._lock:
            now = self.clock()
            window = self._open.get(key)
            if window is not None and (now < window.ends or window.count):
                if not window.count:
                    window.first_seen = now
                window.count += 1
                self.repeats += 1
                window.last_seen = now
                window.last = report
                ids = window.request_ids
                if request_id is not None and len(ids) < MAX_REQUEST_IDS and request_id not in ids:
                    ids.append(request_id)
                return False
            self.firsts += 1
            self._open.pop(key, None)
            self._open[key] = _Window(now + self._window)
            if len(self._open) > MAX_OPEN_WINDOWS:
                self._close_oldest()
            return True

    def due(self) -> list[Repeats[K, T]]:
        """Close the windows that have ended and return their repeats."""
        with self._lock:
            now = self.clock()
            closed, self._overflow = self._overflow, []
            while self._open:
                key, window = next(iter(self._open.items()))
                if window.ends > now:
                    break
                del self._open[key]
                repeats = window.take(key)
                if repeats is not None:
                    closed.append(repeats)
                    window.ends = now + self._window
                    self._open[key] = window
            return closed

    def drain(self) -> list[Repeats[K, T]]:
        """Return all repeats counted so far; the windows stay open."""
        with self._lock:
            drained, self._overflow = self._overflow, []
            drained += self._taken(list(self._open))
            return drained

    def end(self, matches: Callable[[K], bool]) -> list[Repeats[K, T]]:
        """Close the windows of matching keys, because the fault has ended, and return their repeats."""
        with self._lock:
            ended = [key for key in self._open if matches(key)]
            repeats = list(self._taken(ended))
            for key in ended:
                del self._open[key]
            return repeats

    def next_end(self) -> float | None:
        """Return the seconds until the next window ends, or None if none is open."""
        with self._lock:
            if self._overflow:
                return 0.0
            for window in self._open.values():
                return max(0.0, window.ends - self.clock())
            return None

    def _taken(self, keys: list[K]) -> Iterator[Repeats[K, T]]:
        for key in keys:
            repeats = self._open[key].take(key)
            if repeats is not None:
                yield repeats

    def _close_oldest(self) -> None:
        key = next(iter(self._open))
        repeats = self._open.pop(key).take(key)
        if repeats is not None:
            self._overflow.append(repeats)
