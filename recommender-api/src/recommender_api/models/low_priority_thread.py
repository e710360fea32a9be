"""Runs work on a new model in this process at low priority, while the old model answers.

The model must end up in this process, so a subprocess can't load it.
"""

import asyncio
import contextvars
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# An answer waits for Redis and needs the CPU again at once. Linux preempts a thread of equal weight only when its share
# is used up: every tenth time, after 4 ms. With a third of the weight it is a hundredth of the times. The weight must
# not be much lower: on a busy machine other processes would then take the CPU from the thread while it holds the
# interpreter.
NICENESS = 5


class LowPriorityThread:
    """A thread with lower priority than the event loop's, for one call after another.

    It stays alive: a thread that ends would not return the memory that its calls allocated and freed.
    """

    def __init__(self) -> None:
        # A thread of its own: only the superuser may raise a thread's priority again.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="low-priority", initializer=_lower_priority)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call a function in the thread, and return its result or raise its error."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._thread, context.run, function, *args)


def _lower_priority() -> None:
    # On other systems it would apply to the whole process.
    if sys.platform == "linux":
        os.nice(NICENESS)
