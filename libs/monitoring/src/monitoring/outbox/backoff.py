"""When the other side is tried again while it is down."""

import time

FIRST_RETRY_SECONDS = 0.5
# Short enough that a collector which is back is found at once, long enough to be no load.
MAX_RETRY_SECONDS = 10.0
MAX_RETRY_AFTER_SECONDS = 300.0


class Backoff:
    """Pauses that double with each failure in a row; not locked, its user does that.

    `retry_at` is of the monotonic clock, `failures` only grows.
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
        """Put the next try off, for as long as the other side asked for if it did (s)."""
        self._delay = min(MAX_RETRY_SECONDS, self._delay * 2 or FIRST_RETRY_SECONDS)
        pause = self._delay if retry_after is None else min(retry_after, MAX_RETRY_AFTER_SECONDS)
        self.retry_at = time.monotonic() + pause
        self.failures += 1

    def note_success(self) -> None:
        """Begin with the shortest pause again."""
        self._delay = self.retry_at = 0.0

    def retry_now(self) -> None:
        """Let the next try be at once."""
        self.retry_at = 0.0
