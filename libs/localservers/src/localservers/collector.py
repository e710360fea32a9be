"""The Sentry-compatible collector as native processes (deploy/sentry)."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localservers.executables import MissingProgramError

SETTINGS = "deploy/sentry"


@dataclass(frozen=True)
class Collector:
    """A collector whose data is in `data`; `key` (32 hex) is that of the DSN, `token` (40 hex) that of its API."""

    root: Path
    data: Path
    port: int
    key: str
    token: str
    password: str
    secret: str
    eager: bool = False

    @property
    def url(self) -> str:
        """The address of its pages and its API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dsn(self) -> str:
        """The DSN that processes report to."""
        return f"http://{self.key}@127.0.0.1:{self.port}/1"

    def environment(self) -> dict[str, str]:
        """Return the environment of its programs."""
        return {
            "COLLECTOR_DATA": str(self.data),
            "COLLECTOR_URL": self.url,
            "COLLECTOR_SECRET": self.secret,
            "COLLECTOR_KEY": self.key,
            "COLLECTOR_TOKEN": self.token,
            "COLLECTOR_PASSWORD": self.password,
            "COLLECTOR_EAGER": "1" if self.eager else "0",
            "DJANGO_SETTINGS_MODULE": "collector_settings",
            "PYTHONPATH": str(self.root / SETTINGS),
        }

    def prepare(self) -> None:
        """Bring its databases up to date; raises `MissingProgramError` without its environment."""
        if not (self._bin / "bugsink-manage").exists():
            raise MissingProgramError("the collector's environment is missing: make .venvs/collector/.stamp")
        done = subprocess.run(
            ["sh", str(self.root / SETTINGS / "prepare.sh")],
            env=self._with_path(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise MissingProgramError(f"the collector could not be prepared: {done.stderr.strip()[-1000:]}")

    def web_command(self) -> list[str]:
        """Return the command line of its web server."""
        return [
            str(self._bin / "gunicorn"),
            *("--config", str(self.root / SETTINGS / "gunicorn.conf.py"), "--bind", f"127.0.0.1:{self.port}"),
        ]

    def worker_command(self) -> list[str]:
        """Return the command line of the worker that digests events; an eager collector needs none."""
        return [str(self._bin / "bugsink-runsnappea")]

    @property
    def _bin(self) -> Path:
        return self.root / ".venvs" / "collector" / "bin"

    def _with_path(self, environment: Mapping[str, str]) -> dict[str, str]:
        path = f"{self._bin}{os.pathsep}{environment.get('PATH', os.defpath)}"
        return {**environment, **self.environment(), "PATH": path}
