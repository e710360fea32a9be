"""The service's side of the sandbox: starts the template, sends jobs, and watches over each process."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model_registry.sandbox.channel import LineReader
from model_registry.sandbox.limits import GIB, Limits, resident

# Without compiled code on the disk, the template compiles for 15 s; on a busy machine for longer.
START_SECONDS = 180.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.05
_MAX_SHOWN = 300
_MAX_LOG_BYTES = 4096
# A second thread would not survive a fork. The libraries read these at their import.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

Receive = Callable[[Mapping[str, Any]], None]


class SandboxUnavailableError(RuntimeError):
    """The template does not start, or ended while it had a job; the job may be sent again."""


class WorkDiedError(RuntimeError):
    """The process of a job ended before its work did; the message says of what."""


class Sandbox:
    """Runs jobs of one module in processes of their own; see `sandbox.template`."""

    def __init__(
        self, module: str, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._module = module
        self._limits = limits or Limits()
        self._clock = clock
        self._lock = threading.Lock()
        self._template: subprocess.Popen[bytes] | None = None
        self._jobs: socket.socket | None = None

    def start(self) -> None:
        """Start the template unless it runs; it warms up without being waited for."""
        with self._lock:
            self._ensure_template()

    def close(self) -> None:
        """End the template, and with it every process."""
        with self._lock:
            if self._jobs is not None:
                self._jobs.close()
            if self._template is not None:
                self._template.kill()
                self._template.wait(STOP_SECONDS)
            self._template = self._jobs = None

    @property
    def template_pid(self) -> int | None:
        """The id of the template's process, None before `start`."""
        return None if self._template is None else self._template.pid

    def run(self, arguments: Mapping[str, Any], log: Path, receive: Receive) -> None:
        """Do a job and give its messages to `receive`; `log` gets what its process prints.

        Raises `WorkDiedError`, `SandboxUnavailableError`.
        """
        job = {"arguments": dict(arguments), "log": str(log), "limits": asdict(self._limits)}
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._send(json.dumps(job).encode(), theirs)
            died_of = _Watch(self._limits, self._clock).follow(LineReader(ours), receive)
        if died_of is not None:
            raise WorkDiedError(f"{died_of}{_last_line(log)}")

    def _send(self, job: bytes, answer: socket.socket) -> None:
        with self._lock:
            jobs = self._ensure_template()
            try:
                socket.send_fds(jobs, [job], [answer.fileno()])
            except OSError as error:
                raise SandboxUnavailableError("the process that checks bundles has ended; try again") from error

    def _ensure_template(self) -> socket.socket:
        if self._template is not None and self._template.poll() is None and self._jobs is not None:
            return self._jobs
        if self._jobs is not None:
            self._jobs.close()
        self._jobs, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = (sys.executable, "-P", "-m", "model_registry.sandbox.template", self._module)
        with theirs:
            self._template = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=theirs.fileno(), env={**os.environ, **_ONE_THREAD}
            )
        return self._jobs


class _Watch:
    """Follows one process; ends it when it uses more than it may."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._began = clock()
        self._pid = 0
        self._max_resident = 0
        self._ended_for: str | None = None
        self._exit: int | None = None

    def follow(self, reader: LineReader, receive: Receive) -> str | None:
        """Return None after the work is done, otherwise what the process died of."""
        # Not until the connection ends: processes that were forked meanwhile have it, too.
        while self._exit is None and not reader.ended:
            for message in reader.read(POLL_SECONDS):
                self._note(message, receive)
            if self._ended_for is None:
                self._check()
        if self._ended_for is not None:
            return self._ended_for
        if self._exit is None:
            raise SandboxUnavailableError("the process that checks bundles has ended; try again")
        return _reason(self._exit, self._limits)

    def _note(self, message: Mapping[str, Any], receive: Receive) -> None:
        if "pid" in message:
            self._pid, self._began = message["pid"], self._clock()
        elif "max_resident" in message:
            self._max_resident = message["max_resident"]
        elif "exit" in message:
            self._exit = message["exit"]
        else:
            receive(message)

    def _check(self) -> None:
        elapsed = self._clock() - self._began
        if not self._pid:
            if elapsed > START_SECONDS:
                raise SandboxUnavailableError(f"the process that checks bundles did not start in {START_SECONDS:.0f} s")
            return
        if elapsed > self._limits.wall_seconds:
            self._end(f"ended after {self._limits.wall_seconds:g} s")
        elif self._max_resident and resident(self._pid) > self._max_resident:
            self._end(f"ended because it had more than {self._max_resident / GIB:.1f} GiB of memory")

    def _end(self, reason: str) -> None:
        self._ended_for = reason
        if self._exit is None:
            try:
                os.kill(self._pid, signal.SIGKILL)
            except ProcessLookupError:
                return


def _reason(code: int, limits: Limits) -> str | None:
    if code == -signal.SIGXCPU:
        return f"ended after {limits.cpu_seconds} s of CPU"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}" if code else None


def _last_line(log: Path) -> str:
    """Return the last line that a process printed, as an addition to a message."""
    try:
        with log.open("rb") as printed:
            printed.seek(max(0, printed.seek(0, os.SEEK_END) - _MAX_LOG_BYTES))
            lines = printed.read().decode(errors="replace").split("\n")
    except FileNotFoundError:
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {''.join(filter(str.isprintable, last))[:_MAX_SHOWN]}" if last else ""
