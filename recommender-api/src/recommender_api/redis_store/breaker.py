"""A circuit breaker: while Redis is down no caller waits for it, and one background probe detects when it is back."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from recommender_api.redis_store.port import StoreError
from servicekit.background import cancel_all, report_failure

FAILURES_TO_OPEN = 3
PROBE_INTERVAL_SECONDS = 0.25
# One stall of this process or of Redis delays all calls that began within a healthy call's duration (p99: 0.6 ms).
# Failures of calls that began further from each other are separate evidence, even if the calls overlap. If each had to
# begin after the end of the previous one, three failures would delay callers for three budgets instead of little more
# than one.
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
        # Only a failure of a call that began after this moment counts.
        self._counted_from = float("-inf")
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are rejected."""
        return self._probing is not None

    def begin(self) -> float:
        """Return the moment at which a call starts, for `record_failure`."""
        return self._clock()

    def record_success(self) -> None:
        """Count a call that got an answer, even if the answer is an error."""
        self._failures = 0

    def record_failure(self, began: float, cause: str) -> None:
        """Count a call that got no answer, and store its cause.

        Calls that began at the same time and were in flight when one failed count as one failure: a single stall of
        this process makes all of them late and is not an outage.
        """
        if self.is_open or began < self._counted_from:
            return
        self.cause = cause
        self._failures += 1
        self._counted_from = min(self._clock(), began + APART_SECONDS)
        if self._failures >= self._failures_to_open:
            self._probing = asyncio.create_task(self._until_back(), name="redis-probe")

    async def close(self) -> None:
        """Stop probing; called at the end of the process."""
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
