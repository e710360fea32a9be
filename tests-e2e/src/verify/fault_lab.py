"""Side services: the services' own code with other endpoints, reporting as environment `verify`."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from verify.settings import Settings

ENVIRONMENT = "verify"
TOKEN = "token-of-a-side-process"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
COMMAND_SECONDS = 180.0
ANSWER_SECONDS = 30.0
_POLL_SECONDS = 0.1


class FaultNotFiredError(Exception):
    """A side service did not do what the fault needs; the message contains its last output."""


class SideService:
    """A running service; every request to it gets its own id."""

    def __init__(self, url: str, run: str) -> None:
        self._run = run
        self._numbers = count(1)
        self.http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=ANSWER_SECONDS,
            event_hooks={"request": [self._name]},
        )

    def get(self, path: str) -> httpx.Response:
        """Send a request that must be answered during any fault; raises `FaultNotFiredError`."""
        response = self.http.get(path)
        if not response.is_success:
            raise FaultNotFiredError(f"GET {path}: HTTP {response.status_code}: {response.text[:300]}")
        return response

    def _name(self, request: httpx.Request) -> None:
        request.headers["X-Request-ID"] = f"{self._run}.{next(self._numbers)}"


class FaultLab:
    """`folder` is for all files of the side services; `run` is the release of all their events, which go to `dsn`."""

    def __init__(self, folder: Path, run: str, settings: Settings, dsn: str) -> None:
        self.folder = folder
        self.run = run
        self.airflow_python = settings.airflow_python
        self.alert_policy = settings.alert_policy
        # What a gateway of the lab showed before it ended: signals about itself reach no other gateway.
        self.alerts: list[dict[str, Any]] = []
        self._variables = {
            # Without the caller's environment: the stack's settings would let a side service affect the stack.
            **{name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ},
            "SENTRY_DSN": dsn,
            "SENTRY_ENVIRONMENT": ENVIRONMENT,
            "SENTRY_RELEASE": run,
            "SPOOL_DIR": str(folder / "spool"),
            "LOG_LEVEL": "WARNING",
            # Threads that wait for each other on a busy machine cost many times their work.
            "OMP_NUM_THREADS": "1",
        }
        if settings.gateway_url is not None:
            self._variables["GATEWAY_URL"] = settings.gateway_url
        if settings.gateway_token is not None:
            self._variables["GATEWAY_TOKEN"] = settings.gateway_token.get_secret_value()

    @contextmanager
    def service(self, module: str, variables: Mapping[str, str], *, ready: str = "/health") -> Iterator[SideService]:
        """Run `python -m module` until the end of the block; `ready` returns True once it is up."""
        port = free_port()
        log = self.folder / f"{module}.log"
        listening = {"HOST": "127.0.0.1", "PORT": str(port), **variables}
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**self._variables, **listening},
                cwd=self.folder,
                stdout=output,
                stderr=output,
            )
        side = SideService(f"http://127.0.0.1:{port}", self.run)
        try:
            self._await(side, process, ready, log)
            yield side
        finally:
            side.http.close()
            _end(process)

    def command(self, command: Sequence[str | Path], variables: Mapping[str, str]) -> str:
        """Run a command to its end, even if it fails, and return the end of its output."""
        done = subprocess.run(
            command,
            env={**self._variables, **variables},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return f"exit code {done.returncode}: {done.stdout[-1000:]}"

    def _await(self, side: SideService, process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(side, ready):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(encoding="utf-8", errors="replace")[-1000:]
                raise FaultNotFiredError(f"{log.stem} did not start: {tail}")
            time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """Return a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _answers(side: SideService, path: str) -> bool:
    try:
        return side.http.get(path).is_success
    except httpx.TransportError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
