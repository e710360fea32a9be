"""A PostgreSQL cluster in a temporary folder."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from native.ports import Ports
from native.postgres import PostgresCluster
from native.waiting import wait_until
from testkit.processes import ServerProcess


@contextmanager
def running_cluster() -> Iterator[PostgresCluster]:
    """Run a cluster on a free port for the length of a block."""
    # Not pytest's folder: as root the server runs as another user, who may not enter that.
    home = Path(tempfile.mkdtemp(prefix="recsys-postgres-"))
    home.chmod(0o755)
    cluster = PostgresCluster(home / "data", Ports.free().postgres, token_hex(16), durable=False)
    try:
        cluster.create()
        process = ServerProcess(cluster.command(), home / "postgres.log", user=cluster.user, cwd="/")
        try:
            wait_until(lambda: process.check_alive() and cluster.answers(), within=20, what="PostgreSQL answers")
            yield cluster
        finally:
            process.end(signal.SIGINT)
    finally:
        shutil.rmtree(home)
