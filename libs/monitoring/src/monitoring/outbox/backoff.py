"""The pauses between tries while the receiver is down."""

import time

FIRST_RETRY_SECONDS = 0.5
# Short enough to find a recovered collector soon, long enough to cause no load.
MAX_RETRY_SECONDS = 10.0
MAX_RETRY_AFTER_SECONDS = 300.0


class Backoff:
    """Pauses that double with each failure in a row. The caller locks it.

    `retry_at` is a time of the monotonic clock, `failures` only grows.
    """

    def __init__(self) -> None:
        self.retry_at = 0.0
        self.failures = 0
        self._delay = 0.0

    @property
    def is_failing(self) -> bool:
        """Whether nothing was delivered since the last failure."""
        return self._delay > 0

    def note_failure(self, retry_after: float | None) -> None:
        """Delay the next try, by `retry_after` (s) if the receiver asked for a pause."""
        self._delay = min(MAX_RETRY_SECONDS, self._delay * 2 or FIRST_RETRY_SECONDS)
        pause = self._delay if retry_after is None else min(retry_after, MAX_RETRY_AFTER_SECONDS)
        self.retry_at = time.monotonic() + pause
        self.failures += 1

    def note_success(self) -> None:
        """Begin with the shortest pause again."""
        self._delay = self.retry_at = 0.0

    def retry_now(self) -> None:
        """Allow the next try immediately."""
        self.retry_at = 0.0
