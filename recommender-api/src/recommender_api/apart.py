"""Long work on a new model in a process of its own, so that it holds up no answer that the old one gives meanwhile.

Outside of `recommender_api.models`, as `bundle_fetch` is: that process imports both.
"""

import asyncio
import ctypes
import os
import pickle
import signal
import sys
from collections.abc import Callable
from subprocess import PIPE, Popen
from typing import Any, TypeVar

T = TypeVar("T")

# Answers come first: with so little weight this gives them the CPU the moment that they want it (at 5 it keeps it for
# its slice, and the slowest of a hundred answers takes twice as long). And yet a deployment gets on where the core is
# busy: 200 MB are unpacked in 9 s there, at 19 in 71 s, with SCHED_IDLE in 384 s. A thread may not give way like that:
# while it waited for a CPU, nobody else could have the interpreter.
NICENESS = 10
_PR_SET_PDEATHSIG = 1


async def run_apart(function: Callable[..., T], *args: object) -> T:
    """Call a function of a module, and return or raise what it does; `OSError` if its process dies."""
    process = _started()
    try:
        outcome, _ = await asyncio.to_thread(process.communicate, pickle.dumps((function, args)))
    finally:
        process.kill()
    if not outcome:
        raise OSError(f"the process of {function.__name__} died")
    # Written by our own program, which nobody else can.
    result, error = pickle.loads(outcome)  # noqa: S301
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]  # what the function returned


def _started() -> Popen[bytes]:
    """Start a process: in a quarter of a millisecond; asyncio takes five, and multiprocessing starts another beside."""
    process = Popen([sys.executable, "-P", "-m", "recommender_api.apart"], stdin=PIPE, stdout=PIPE)
    # From the outside, before it imports anything; `Popen` is still to collect it, so that the id is its own.
    os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    return process


def _main() -> None:
    # Linux: with the service this process ends too, however the service does.
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # What the function prints is no part of the outcome.
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        function, args = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the service, who started this process
        output.write(_outcome(function, args))
    # To look for garbage last, as Python does, takes a tenth of a second.
    os._exit(0)


def _outcome(function: Callable[..., Any], args: tuple[object, ...]) -> bytes:
    try:
        return pickle.dumps((function(*args), None))
    except Exception as error:  # noqa: BLE001 - it is raised again in the service
        return pickle.dumps((None, error))


if __name__ == "__main__":
    _main()
