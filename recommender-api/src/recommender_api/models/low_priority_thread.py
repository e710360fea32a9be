"""Work on a new model that has to be done in this process, for the model is to be here, while the old one answers."""

import asyncio
import contextvars
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# An answer waits for Redis, and wants the CPU back at once. Of a thread that counts as much as its own Linux takes the
# CPU only when that has had its share: every tenth time, after 4 ms. With a third of the weight it is a hundredth of
# the times. It must not have much less, for others on a busy machine would then keep the CPU from it while it has the
# interpreter.
NICENESS = 5


class LowPriorityThread:
    """A thread that the event loop's goes before, for one call after another.

    It stays: a thread that ends leaves behind the memory that its calls have got and freed.
    """

    def __init__(self) -> None:
        # No other thread will do: back to where it was only the superuser may set it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="low-priority", initializer=_lower_priority)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call a function there, and return or raise what it does."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._thread, context.run, function, *args)


def _lower_priority() -> None:
    # Elsewhere it would be the whole process.
    if sys.platform == "linux":
        os.nice(NICENESS)
