"""Waiting for something to become true, with a bound."""

import time
from collections.abc import Callable


class TooLateError(TimeoutError):
    """It didn't happen in time; the message says what was waited for."""


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
