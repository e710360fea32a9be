"""Workers of Celery for Airflow, each as on a machine of its own: a home and a DAG folder that no other program has."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shutil import copytree
from signal import SIGKILL
from typing import Self

import psutil

from localservers.waiting import wait_until
from testkit.airflow_processes import AirflowProcesses
from testkit.processes import ServerProcess

PROGRAMS = Path(".venvs/images/airflow-celery/bin").absolute()
_START_SECONDS = 300


class CeleryWorker:
    """A running worker."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        # Knows also later that its id was given to another process.
        self._main = psutil.Process(process.pid)

    def runs(self, pid: int) -> bool:
        """Return whether a process is one of the worker's."""
        return any(each.pid == pid for each in self._processes())

    def kill(self) -> None:
        """Kill all its processes at once, as when its machine loses power."""
        processes = self._processes()
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self._process.end(SIGKILL)
        psutil.wait_procs(processes)

    def _processes(self) -> list[psutil.Process]:
        try:
            return [self._main, *self._main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


class CeleryWorkers:
    """Starts workers of an Airflow, and kills them at the end of the block.

    `settings` is all that a worker has besides its folders and the address of the API.
    """

    def __init__(self, airflow: AirflowProcesses, dags: Path, settings: Mapping[str, str]) -> None:
        self._airflow = airflow
        self._dags = dags
        self._settings = settings
        self._started: list[CeleryWorker] = []

    def start(self, folder: Path) -> None:
        """Start one, and wait until it takes tasks."""
        folder.mkdir()
        environment = self._airflow.environment(folder, copytree(self._dags, folder / "dags"))
        command = [str(PROGRAMS / "airflow"), "celery", "worker", "--concurrency", "1", "--skip-serve-logs"]
        own = {"SPOOL_DIR": str(folder / "spool"), **self._settings}
        log = folder / "worker.log"
        process = ServerProcess(
            [*command, "--celery-hostname", folder.name], log, environment=environment | own, cwd=str(folder)
        )
        self._started.append(CeleryWorker(process))
        wait_until(
            lambda: process.check_alive() and " ready." in log.read_text("utf-8"),
            within=_START_SECONDS,
            what=f"{folder.name} is ready",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._started:
            worker.kill()

    def find(self, pid: int) -> CeleryWorker:
        """Return the worker that runs a process; raises `LookupError`."""
        for worker in self._started:
            if worker.runs(pid):
                return worker
        raise LookupError(f"no worker runs the process {pid}")
