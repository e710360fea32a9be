"""Long work on a new model in a process of its own, so that it holds up no answer that the old one gives meanwhile.

Outside of `recommender_api.models`, as `bundle_fetch` is: that process imports both.
"""

import asyncio
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# Answers come first, and yet a deployment gets on where the machine is busy. A thread may not give way like that: while
# it waited for a CPU, nobody else could have the interpreter.
NICENESS = 5
_PR_SET_PDEATHSIG = 1


async def run_apart(function: Callable[..., T], *args: object) -> T:
    """Call a function of a module, and return or raise what it does; `OSError` if its process dies."""
    process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        return await asyncio.get_running_loop().run_in_executor(process, function, *args)
    except BrokenExecutor as error:
        raise OSError(f"the process of {function.__name__} died") from error
    finally:
        process.shutdown(wait=False)


def _begin() -> None:
    os.nice(NICENESS)
    # Linux: with the service this process ends too, however the service does.
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
