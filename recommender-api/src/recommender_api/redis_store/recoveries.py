"""Which incidents of Redis may be open, and when a successful call ends them."""

import monitoring

# An undecodable value is met again, if at all, when its key is requested again.
UNDECODABLE_SECONDS = 900.0


class RedisRecoveries:
    """Sends the recoveries of `redis.*`; `open` says whether an incident may be open.

    This process doesn't know the reports of an earlier one, so its first success counts as a recovery. Times are
    seconds of the breaker's clock.
    """

    __slots__ = ("_lost", "_lost_at", "_refusing", "_undecodable_at", "_unexpected", "open")

    def __init__(self) -> None:
        self.open = True
        self._lost = True
        self._lost_at = float("-inf")
        self._unexpected = True
        # The operations that Redis currently answers with errors.
        self._refusing: set[str] = set()
        self._undecodable_at = float("-inf")

    def note_loss(self, now: float) -> None:
        """Record that Redis did not answer."""
        self._lost_at = now
        self.open = self._lost = True

    def note_refusal(self, operation: str) -> None:
        """Record that Redis answered an operation with an error."""
        self._refusing.add(operation)
        self.open = self._unexpected = True

    def note_undecodable(self, now: float) -> None:
        """Record that Redis held an undecodable value."""
        self._undecodable_at = now
        self.open = self._unexpected = True

    def note_success(self, operation: str, began: float) -> None:
        """Record that an operation succeeded; one that began before the loss of Redis is ignored."""
        self._refusing.discard(operation)
        if self._lost and began >= self._lost_at:
            self._lost = False
            monitoring.recovered("redis.connection_failed")
        if self._unexpected and not self._refusing and began - self._undecodable_at >= UNDECODABLE_SECONDS:
            self._unexpected = False
            monitoring.recovered("redis.unexpected_error")
        self.open = self._lost or self._unexpected
