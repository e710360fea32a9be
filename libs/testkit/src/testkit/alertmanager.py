"""A real Alertmanager on a free port. A test may stop, kill and restart it, with its storage or without."""

import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from localservers.executables import MissingProgramError, alertmanager
from localservers.ports import Ports
from localservers.waiting import wait_until
from testkit.processes import ServerProcess

START_SECONDS = 60


class AlertmanagerServer:
    """Its configuration and storage are in `folder`, and survive a kill."""

    def __init__(self, folder: Path, configuration: dict[str, Any]) -> None:
        program = alertmanager()
        if program is None:
            raise MissingProgramError("Alertmanager is missing: apt-get install prometheus-alertmanager")
        self.url = f"http://127.0.0.1:{Ports.free().prometheus}"
        self._storage = folder / "alertmanager"
        self._log = folder / "alertmanager.log"
        path = folder / "alertmanager.yml"
        # JSON is YAML.
        path.write_text(json.dumps(configuration), encoding="utf-8")
        self._command = (
            str(program),
            f"--config.file={path}",
            f"--storage.path={self._storage}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            # Otherwise its webhooks contain this machine's name.
            "--web.external-url=http://alertmanager.example",
            # Without a cluster, so that it doesn't wait for peers.
            "--cluster.listen-address=",
        )
        self._http = httpx.Client(base_url=self.url, timeout=5)
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop(signal.SIGKILL)
        self._http.close()

    def start(self) -> None:
        """Start it and wait until it accepts alerts."""
        process = self._process = ServerProcess(self._command, self._log)
        wait_until(
            lambda: process.check_alive() and self._is_ready(), within=START_SECONDS, every=0.05, what="it is ready"
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it: with SIGTERM it writes its notification log, with SIGKILL it doesn't."""
        if self._process is not None:
            self._process.end(number)
            self._process = None

    def wipe(self) -> None:
        """Remove its storage, so that it forgets its notifications."""
        shutil.rmtree(self._storage, ignore_errors=True)

    def post(self, alerts: Sequence[dict[str, Any]]) -> bool:
        """Post alerts as Prometheus does; return whether they were accepted, False while it is down."""
        try:
            return self._http.post("/api/v2/alerts", json=list(alerts)).is_success
        except httpx.TransportError:
            return False

    def _is_ready(self) -> bool:
        try:
            return self._http.get("/-/ready").is_success
        except httpx.TransportError:
            return False
