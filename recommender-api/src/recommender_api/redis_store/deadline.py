"""Timeouts of Redis calls, which must not be confused with a process that was too busy to read the answer."""

import asyncio
from typing import TypeVar

from recommender_api.redis_store.port import StoreUnavailableError

T = TypeVar("T")

# An event loop that runs later than this didn't look for the answer in time: the answer may be there unread.
LATE_SECONDS = 0.002


def timeout_error(budget: float) -> StoreUnavailableError:
    """Return the error of a call that got no answer within `budget` (s)."""
    return StoreUnavailableError(f"no answer within {budget * 1000:.0f} ms", "TimeoutError")


async def wait_within(budget: float, awaited: asyncio.Future[T]) -> T:
    """Return the result of `awaited` within `budget` (s); raises `StoreUnavailableError`.

    The loop runs its timers before it reads. So a timer that fires late waits for one more round: an overload of this
    process must not look like an outage of Redis.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + budget
    timer: asyncio.TimerHandle

    def expire() -> None:
        nonlocal timer, due
        if loop.time() - due > LATE_SECONDS:
            due = float("inf")
            timer = loop.call_later(LATE_SECONDS, expire)
        elif not awaited.done():
            awaited.set_exception(timeout_error(budget))

    timer = loop.call_later(budget, expire)
    try:
        return await awaited
    finally:
        timer.cancel()
