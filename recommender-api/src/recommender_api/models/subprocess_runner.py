"""Runs long work on a new model in a subprocess, so that the old model's answers don't wait for it.

The subprocess imports this module and the function's module, so both import little.
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

# Answers have priority: at this niceness the subprocess yields the CPU as soon as an answer needs it. (At 5 it keeps
# its time slice, and the 99th percentile of answers takes twice as long.) A deployment still progresses on a busy core:
# 200 MB are unpacked in 9 s, at 19 in 71 s, with SCHED_IDLE in 384 s. A thread of the service must not yield as much:
# while it waited for a CPU, no answer could get the interpreter.
NICENESS = 10
_PR_SET_PDEATHSIG = 1
_PATH, _ERROR = "$path", "$error"


async def run_in_subprocess(function: Callable[..., T], *args: object) -> T:
    """Call a module's function in a subprocess; return its result or raise its error, `OSError` if the process dies.

    Arguments and results may be JSON values, paths and exceptions.
    """
    process = _started()
    try:
        outcome, _ = await asyncio.to_thread(process.communicate, _written([_name(function), args]))
    finally:
        process.kill()
    if not outcome:
        raise OSError(f"the subprocess of {function.__name__} died")
    result, error = _read(outcome)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]  # what the function returned


def _started() -> Popen[bytes]:
    """Start a subprocess in a quarter of a millisecond; asyncio takes five, and multiprocessing starts a second one."""
    process = Popen([sys.executable, "-P", "-m", "recommender_api.models.subprocess_runner"], stdin=PIPE, stdout=PIPE)
    # Set from outside, before the process imports anything. `Popen` hasn't collected it yet, so the id is still its
    # own.
    os.setpriority(os.PRIO_PROCESS, process.pid, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    return process


def _main() -> None:
    # Linux: this process ends when the service ends, for whatever reason.
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The function's output is not part of its result.
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        output.write(_outcome(*_read(sys.stdin.buffer.read())))
    # Python's last garbage collection at exit would take a tenth of a second.
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
    """Return a path or an exception as a JSON object."""
    if isinstance(value, Path):
        return {_PATH: str(value)}
    if isinstance(value, BaseException):
        # The arguments with which `copy` would rebuild it; an `OSError` needs more than its `args`.
        return {_ERROR: _name(type(value)), "arguments": value.__reduce__()[1]}
    raise TypeError(f"{type(value).__name__} can't be passed between processes")


def _untagged(found: dict[str, Any]) -> Any:
    if _PATH in found:
        return Path(found[_PATH])
    return resolve_name(found[_ERROR])(*found["arguments"]) if _ERROR in found else found


if __name__ == "__main__":
    _main()
