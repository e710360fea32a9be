"""Runs `soak.night` as a process of the run, and passes commands to it."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from soak.stack import Stack

STOP_SECONDS = 15


class NightProcess:
    """The process; one command at a time."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        folder.mkdir()
        variables = {
            **stack.monitored,
            "SPOOL_DIR": str(folder / "spool"),
            "REGISTRY_URL": stack.urls["registry"],
            "SYNC_URL": stack.urls["feature-sync"],
            "ADMIN_TOKEN": stack.token,
            "ARTIFACTS": str(stack.folder / "model_registry" / "artifacts"),
        }
        self._lock = threading.Lock()
        with (folder / "log").open("ab") as errors:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "soak.night", str(folder)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
                env=variables,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it as the end of its input does; kill it if it doesn't end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def do(self, command: str, run_id: str) -> dict[str, Any]:
        """Run a command; returns its `error` (None: none), `counters` and `waiting`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(f"{command} {run_id}\n")
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the stand-in for the nightly run has ended; its log says why")
        answer: dict[str, Any] = json.loads(line)
        return answer
