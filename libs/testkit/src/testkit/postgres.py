"""A PostgreSQL cluster in a temporary folder. A test may stop, freeze and restart it."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

import psutil

from localservers.ports import Ports
from localservers.postgres import PostgresCluster
from localservers.waiting import wait_until
from testkit.processes import ServerProcess


class PostgresServer:
    """A running cluster, without fsync."""

    def __init__(self, home: Path) -> None:
        self.cluster = PostgresCluster(home / "data", Ports.free().postgres, token_hex(16), durable=False)
        self._log = home / "postgres.log"
        self._process: ServerProcess | None = None
        self._frozen: list[int] = []

    def start(self) -> None:
        """Start it with its data, and wait until it answers."""
        process = ServerProcess(self.cluster.command(), self._log, user=self.cluster.user, cwd="/")
        self._process = process
        wait_until(lambda: process.check_alive() and self.cluster.answers(), within=60, what="PostgreSQL answers")

    @property
    def pid(self) -> int:
        """The process id of its parent process; raises `RuntimeError` while it is down."""
        if self._process is None:
            raise RuntimeError("PostgreSQL is down")
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of the server's processes that have ended: one for each connection."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.children_user + times.children_system)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop it: as an administrator does, which closes all connections, or at once with SIGQUIT."""
        self.thaw()
        if self._process is not None:
            self._process.end(number)
            self._process = None

    def freeze(self) -> None:
        """Freeze it: connections are accepted, but nothing is answered."""
        # Each process has a session of its own; the parent is frozen first, so that no new one starts.
        os.kill(self.pid, signal.SIGSTOP)
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        self._frozen = [self.pid, *map(int, children.split())]
        for pid in self._frozen[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue it."""
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._frozen = []


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Run a server on a free port for the length of a block."""
    # Not pytest's folder: as root the server runs as another user, who has no access to that folder.
    home = Path(tempfile.mkdtemp(prefix="recsys-postgres-"))
    home.chmod(0o755)
    try:
        server = PostgresServer(home)
        server.cluster.create()
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home)


@contextmanager
def running_cluster() -> Iterator[PostgresCluster]:
    """Run a cluster that no test stops until the end of the block."""
    with running_server() as server:
        yield server.cluster
