"""Server processes of a test: started in a session of their own, logged, and ended by pid."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGTERM, Signals

STOP_SECONDS = 15


class ServerProcess:
    """One running server; its output goes to a file that a failed start shows."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: str | None = None,
    ) -> None:
        self._command = " ".join(command)
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, user=user, cwd=cwd, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def check_alive(self) -> bool:
        """Return True; if the process has ended, raise `RuntimeError` with the end of its log."""
        if self._process.poll() is not None:
            tail = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"{self._command} ended with {self._process.returncode}:\n{tail}")
        return True

    def send(self, number: Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def end(self, number: Signals = SIGTERM) -> None:
        """End the process and wait for it; kill it if it doesn't end."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
