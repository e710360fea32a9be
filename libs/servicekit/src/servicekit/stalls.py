"""Whether this process was stopped or starved: what was too late meanwhile says nothing about the others."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

TICK_SECONDS = 0.5
# A tick on a busy machine is late by less than this; after a stop, on a suspended host, by more.
STALL_SECONDS = 3.0
# So long after it, calls end whose deadlines have passed meanwhile.
SETTLE_SECONDS = 1.0
# A part of a wait on a busy machine is late by less than this.
STOP_SECONDS = 0.5
_PARTS = 10


class StallWatch:
    """Notices by its own ticks, which are late after a stall."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ticked_at: float | None = None
        self._stalled_at = float("-inf")

    def recent(self) -> float | None:
        """Return the end of a stall by which a call that fails now may have failed, None without one."""
        self.note_tick()
        return self._stalled_at if self._clock() - self._stalled_at < SETTLE_SECONDS else None

    def note_tick(self) -> None:
        """Note that the process runs; call it every TICK_SECONDS."""
        now = self._clock()
        if self._ticked_at is not None and now - self._ticked_at > TICK_SECONDS + STALL_SECONDS:
            self._stalled_at = now
        self._ticked_at = now


async def finishes_within(seconds: float, awaited: asyncio.Future[Any]) -> bool:
    """Wait until `awaited` is done, and return whether it is within so many seconds in which this process ran.

    The loop runs its timers before it sees what has arrived. So the time is waited in parts, and the first one that
    took far longer doesn't count: the process was stopped. Later ones do, so that a busy loop still has a deadline.
    """
    loop = asyncio.get_running_loop()
    part, ran, was_stopped = seconds / _PARTS, 0.0, False
    while not awaited.done() and ran < seconds:
        began = loop.time()
        await asyncio.wait((awaited,), timeout=part)
        took = loop.time() - began
        if took > part + STOP_SECONDS and not was_stopped:
            was_stopped, took = True, part
        ran += took
    return awaited.done()
