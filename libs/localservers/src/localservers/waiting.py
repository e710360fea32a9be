"""Waits until a condition becomes true, with a time limit."""

import time
from collections.abc import Callable


class TooLateError(TimeoutError):
    """The condition didn't become true in time; the message names it."""


def wait_until(
    condition: Callable[[], object],
    *,
    within: float,
    what: str,
    every: float = 0.1,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Poll `condition` for up to `within` seconds and return how long it took; raises `TooLateError`."""
    began = clock()
    while not condition():
        if clock() - began >= within:
            raise TooLateError(f"not within {within:g} s: {what}")
        sleep(every)
    return clock() - began
