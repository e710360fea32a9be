"""How many processes run at once, and how many callers wait for one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from model_registry.errors import BusyError

MAX_WAITING = 10


class Slots:
    """At most `running` at once; at most `waiting` callers wait, and another one gets a `BusyError`."""

    def __init__(self, running: int, waiting: int = MAX_WAITING) -> None:
        self._free = threading.Semaphore(running)
        self._lock = threading.Lock()
        self._most = running + waiting
        self._inside = 0

    @property
    def in_flight(self) -> int:
        """How many callers have a slot or wait for one."""
        return self._inside

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a slot and hold it for the length of a block."""
        with self._lock:
            if self._inside >= self._most:
                raise BusyError(f"{self._most} bundles are being checked or wait for it; try again later")
            self._inside += 1
        try:
            with self._free:
                yield
        finally:
            with self._lock:
                self._inside -= 1
