"""Decides when a failed activation is retried."""

from collections.abc import Callable

# The waits grow: the cause may be a network outage that ends.
RETRY_SECONDS = (1.0, 5.0, 30.0, 60.0)


class Backoff:
    """Counts consecutive `failures` of one target, and decides whether its next attempt is due; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.failures = 0
        self._clock = clock
        self._target: object = None
        self._retry_at = float("-inf")

    def count_failure(self, target: object) -> None:
        """Delay the next attempt at this target; for another target the waits start again."""
        self.failures = self.failures + 1 if self.failures and target == self._target else 1
        self._target = target
        self._retry_at = self._clock() + RETRY_SECONDS[min(self.failures, len(RETRY_SECONDS)) - 1]

    def is_waiting(self, target: object) -> bool:
        """Return whether this target has failed and its next attempt isn't due yet."""
        return self.failures > 0 and target == self._target and self._clock() < self._retry_at

    def reset(self) -> None:
        """Forget the failures: nothing has to be retried."""
        self.failures = 0
