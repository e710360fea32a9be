"""A standalone Spark cluster on this machine: a master and two workers, each with a core and a folder of its own."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from localservers.waiting import wait_until
from testkit.processes import ServerProcess

PYTHON = Path(".venvs/spark/bin/python").absolute()
_START_SECONDS = 600
_REGISTERED = "Registering worker"
_DEFAULTS = """
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.driver.memory 512m
spark.executor.memory 512m
spark.sql.shuffle.partitions 8
spark.ui.enabled false
spark.master.rest.enabled false
"""


@dataclass(frozen=True)
class SparkWorker:
    """A worker; `files` is where it has its share of a query's rows."""

    process: ServerProcess
    files: Path

    def has_rows(self, since: float) -> bool:
        """Return whether it has written rows for the next stage of a query after a time (Unix seconds)."""
        return any(path.stat().st_mtime > since for path in self.files.rglob("shuffle_*.data"))

    def kill(self) -> None:
        """Kill it and its executors, as the loss of its machine would."""
        worker = psutil.Process(self.process.pid)
        for each in (worker, *worker.children(recursive=True)):
            each.kill()


@dataclass(frozen=True)
class SparkCluster:
    """`url` is the master's; `environment` is that of a driver."""

    url: str
    environment: dict[str, str]
    workers: tuple[SparkWorker, ...]


@contextmanager
def running_cluster(folder: Path) -> Iterator[SparkCluster]:
    """Start the cluster with its files below `folder`."""
    conf = folder / "conf"
    conf.mkdir(parents=True)
    (conf / "spark-defaults.conf").write_text(_DEFAULTS, encoding="utf-8")
    home = next(PYTHON.parents[1].glob("lib/python3*/site-packages/pyspark"))
    environment = {
        "PATH": os.environ["PATH"],
        "SPARK_HOME": str(home),
        "SPARK_CONF_DIR": str(conf),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
    }
    port, page = _free_ports()
    url = f"spark://127.0.0.1:{port}"
    spark_class = str(home / "bin" / "spark-class")
    with ExitStack() as stack:
        log = folder / "master.log"
        master = f"org.apache.spark.deploy.master.Master --host 127.0.0.1 --port {port} --webui-port {page}"
        servers = [stack.enter_context(_server([spark_class, *master.split()], log, environment))]
        workers = []
        for number in range(2):
            files = folder / f"worker-{number}"
            files.mkdir()
            worker = (
                f"org.apache.spark.deploy.worker.Worker {url} --host 127.0.0.1 --cores 1 --memory 600m --webui-port 0"
            )
            command = [spark_class, *worker.split(), "--work-dir", str(files / "work")]
            own = environment | {"SPARK_LOCAL_DIRS": str(files)}
            servers.append(stack.enter_context(_server(command, files / "worker.log", own)))
            workers.append(SparkWorker(servers[-1], files))
        wait_until(
            lambda: all(each.check_alive() for each in servers) and log.read_text().count(_REGISTERED) == len(workers),
            within=_START_SECONDS,
            what="the workers are registered",
        )
        yield SparkCluster(url, environment, tuple(workers))


@contextmanager
def _server(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[ServerProcess]:
    # Also a proof that is killed ends it.
    process = ServerProcess(["setpriv", "--pdeathsig", "KILL", *command], log, environment=environment)
    try:
        yield process
    finally:
        process.end()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])
