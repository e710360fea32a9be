"""Long work on a new model in a process of its own, so that it holds up no answer that the old one gives meanwhile."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# Answers come first, and yet a deployment gets on where the machine is busy. A thread may not give way like that: while
# it waited for a CPU, nobody else could have the interpreter.
NICENESS = 5


async def run_apart(function: Callable[..., T], *args: object) -> T:
    """Call a function of a module, and return or raise what it does; `OSError` if its process dies."""
    process = ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=os.nice, initargs=(NICENESS,)
    )
    try:
        return await asyncio.get_running_loop().run_in_executor(process, function, *args)
    except BrokenExecutor as error:
        raise OSError(f"the process of {function.__name__} died") from error
    finally:
        process.shutdown(wait=False)
