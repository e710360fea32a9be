"""Long work on a new model in a process of its own, so that it holds up no answer that the old one gives meanwhile.

That process imports this module and the function's, so both import little.
"""

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from subprocess import PIPE, Popen
from typing import Any, TypeVar

T = TypeVar("T")

# Answers come first: with so little weight this gives them the CPU the moment that they want it (at 5 it keeps it for
# its slice, and the slowest of a hundred answers takes twice as long). And yet a deployment gets on where the core is
# busy: 200 MB are unpacked in 9 s there, at 19 in 71 s, with SCHED_IDLE in 384 s. A thread of the service may not give
# way as much: while it waited for a CPU, no answer could have the interpreter.
NICENESS = 10
_PR_SET_PDEATHSIG = 1
_PATH, _ERROR = "$path", "$error"


async def run_in_subprocess(function: Callable[..., T], *args: object) -> T:
    """Call a function of a module, and return or raise what it does; `OSError` if its process dies.

    Arguments and results are what JSON knows, paths and exceptions.
    """
    process = _started()
    try:
        outcome, _ = await asyncio.to_thread(process.communicate, _written([_name(function), args]))
    finally:
        process.kill()
    if not outcome:
        raise OSError(f"the process of {function.__name__} died")
    result, error = _read(outcome)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]  # what the function returned


def _started() -> Popen[bytes]:
    """Start a process: in a quarter of a millisecond; asyncio takes five, and multiprocessing starts another beside."""
    process = Popen([sys.executable, "-P", "-m", "recommender_api.models.subprocess_runner"], stdin=PIPE, stdout=PIPE)
    # From the outside, before it imports anything; `Popen` is still to collect it, so that the id is its own.
    # A service that was started with less weight may not give more than its own.
    os.setpriority(os.PRIO_PROCESS, process.pid, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    return process


def _main() -> None:
    # Linux: with the service this process ends too, however the service does.
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # What the function prints is no part of the outcome.
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        output.write(_outcome(*_read(sys.stdin.buffer.read())))
    # To look for garbage last, as Python does, takes a tenth of a second.
    os._exit(0)


def _outcome(name: str, args: list[Any]) -> bytes:
    try:
        return _written([resolve_name(name)(*args), None])
    except Exception as error:  # noqa: BLE001 - it is raised again in the service
        return _written([None, error])


def _name(what: Callable[..., Any]) -> str:
    return f"{what.__module__}:{what.__qualname__}"


def _written(value: object) -> bytes:
    return json.dumps(value, default=_tagged).encode()


def _read(data: bytes) -> Any:
    return json.loads(data, object_hook=_untagged)


def _tagged(value: object) -> dict[str, object]:
    """Return a path or an exception as an object of JSON."""
    if isinstance(value, Path):
        return {_PATH: str(value)}
    if isinstance(value, BaseException):
        # What `copy` would make it of; for an `OSError` that is more than its `args`.
        return {_ERROR: _name(type(value)), "arguments": value.__reduce__()[1]}
    raise TypeError(f"{type(value).__name__} can't be handed to another process, or back")


def _untagged(found: dict[str, Any]) -> Any:
    if _PATH in found:
        return Path(found[_PATH])
    return resolve_name(found[_ERROR])(*found["arguments"]) if _ERROR in found else found


if __name__ == "__main__":
    _main()
