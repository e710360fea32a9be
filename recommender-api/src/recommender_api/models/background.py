"""The work on a new model, out of the way of the answers that the old one gives meanwhile."""

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# The least that a process may claim: unpacking takes seconds of CPU, and an answer half a millisecond.
NICENESS = 19


async def in_background(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run in a thread of its own, at the lowest priority; else as `asyncio.to_thread`."""
    context = contextvars.copy_context()

    def yielding() -> T:
        # On Linux a thread has a priority of its own.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        return context.run(function, *args, **kwargs)

    thread = ThreadPoolExecutor(1, "model")
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, yielding)
    finally:
        thread.shutdown(wait=False)
