"""A circuit breaker: while Redis is down nobody waits for it, and one background probe finds out when it is back."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from recommender_api.redis_store.port import StoreError
from servicekit.background import cancel_all, report_failure

FAILURES_TO_OPEN = 3
PROBE_INTERVAL_SECONDS = 0.25
# A stall of this process or of Redis hits calls that began within a healthy one's time of each other (p99: 0.6 ms).
# Waits for an answer that began further apart are evidence of their own, though they overlap: were each to begin after
# the other's end, three would hold up callers for three budgets instead of one and a bit.
APART_SECONDS = 0.01


class Breaker:
    """Opens after consecutive failures and closes when `probe` succeeds; `probe` raises `StoreError`."""

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        *,
        on_close: Callable[[], None],
        failures_to_open: int = FAILURES_TO_OPEN,
        interval: float = PROBE_INTERVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._probe = probe
        self._on_close = on_close
        self._failures_to_open = failures_to_open
        self._interval = interval
        self._clock = clock
        self._sleep = sleep
        self.cause = "unknown"
        self._failures = 0
        # When a call must have begun for its failure to count.
        self._counted_from = float("-inf")
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are to be refused."""
        return self._probing is not None

    def begin(self) -> float:
        """Return the moment a call starts, for `failed`."""
        return self._clock()

    def succeeded(self) -> None:
        """Count a call that was answered, if only by an error."""
        self._failures = 0

    def failed(self, began: float, cause: str) -> None:
        """Count a call that was not answered, and remember why.

        Calls that began together and were under way when one failed count as one failure: a single stall of this
        process makes all of them late, and is no outage.
        """
        if self.is_open or began < self._counted_from:
            return
        self.cause = cause
        self._failures += 1
        self._counted_from = min(self._clock(), began + APART_SECONDS)
        if self._failures >= self._failures_to_open:
            self._probing = asyncio.create_task(self._until_back(), name="redis-probe")

    async def close(self) -> None:
        """Stop probing; for the end of the process."""
        if self._probing is not None:
            await cancel_all([self._probing])

    async def _until_back(self) -> None:
        while True:
            await self._sleep(self._interval)
            try:
                await self._probe()
            except StoreError:
                continue
            except Exception as error:  # noqa: BLE001 - a probe that ends would leave the breaker open for good
                report_failure("redis probe", error)
                continue
            break
        self._failures = 0
        self._probing = None
        self._on_close()
