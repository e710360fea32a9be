"""The end of a wait for Redis, told apart from a process that was too busy to look."""

import asyncio
from typing import TypeVar

from recommender_api.redis_store.port import StoreUnavailableError

T = TypeVar("T")

# An event loop that is later than this did not look for the answer in time: it may lie there unread.
LATE_SECONDS = 0.002


def timeout_error(budget: float) -> StoreUnavailableError:
    """Return what says that a wait of `budget` (s) was in vain."""
    return StoreUnavailableError(f"no answer within {budget * 1000:.0f} ms", "TimeoutError")


async def wait_within(budget: float, awaited: asyncio.Future[T]) -> T:
    """Return what `awaited` gets within `budget` (s); raises `StoreUnavailableError`.

    The loop's timers come before what it reads. So one that fires late is given another round: an overload of this
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
