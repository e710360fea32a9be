"""Airflow's processes as they run in the stack, on free ports; by default with LocalExecutor and SQLite."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx

from localservers.ports import Ports
from localservers.waiting import wait_until

COMMANDS = (("api-server",), ("scheduler", "--skip-serve-logs"), ("dag-processor",))
START_SECONDS = 120
POLL_SECONDS = 0.2
STOP_SECONDS = 15


class AirflowProcesses:
    """`with AirflowProcesses(home, dags, settings) as airflow: airflow.trigger("some_dag")`.

    `programs` is the folder of the command `airflow`, by default that of this Python.
    """

    def __init__(self, home: Path, dags: Path, settings: Mapping[str, str], programs: Path | None = None) -> None:
        self._home = home
        self._url = f"http://127.0.0.1:{Ports.free().airflow}"
        self._programs = programs or Path(sys.executable).parent
        self._settings = {
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": self._url.rpartition(":")[2],
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": "j" * 64,
            **settings,
        }
        self._environment = self.environment(home, dags) | self._settings
        self._processes: list[subprocess.Popen[bytes]] = []
        self._api = httpx.Client(base_url=f"{self._url}/api/v2", timeout=60)

    def environment(self, home: Path, dags: Path) -> dict[str, str]:
        """Return what each process of Airflow needs, also a worker with folders of its own."""
        return {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "HOME": str(home),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self._url}/execution/",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def __enter__(self) -> Self:
        migrate = [str(self._programs / "airflow"), "db", "migrate"]
        subprocess.run(migrate, env=self._environment, check=True, capture_output=True)
        for command in COMMANDS:
            with (self._home / f"{command[0]}.log").open("wb") as log:
                # A session of its own, in which its orphans can be found.
                self._processes.append(
                    subprocess.Popen(
                        [self._programs / "airflow", *command],
                        env=self._environment,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in self._left_over():
            os.kill(pid, signal.SIGKILL)

    def trigger(self, dag_id: str, run_id: str | None = None, logical_date: datetime | None = None) -> str:
        """Start a run as soon as the DAG is known; return the run's id."""
        self.wait_for(dag_id)
        date = None if logical_date is None else logical_date.isoformat()
        named = {} if run_id is None else {"dag_run_id": run_id}
        answer = self._api.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": date, "conf": {}, **named})
        answer.raise_for_status()
        return str(answer.json()["dag_run_id"])

    def wait_for(self, dag_id: str) -> None:
        """Wait until a DAG is known."""
        wait_until(
            lambda: self._answers(f"/dags/{dag_id}"),
            within=START_SECONDS,
            every=POLL_SECONDS,
            what=f"{dag_id} is parsed",
        )

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by task."""
        answer = self._api.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances").raise_for_status()
        return {str(each["task_id"]): each for each in answer.json()["task_instances"]}

    def mark_task(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Set a task's state by hand, as soon as it runs."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"

        def is_running() -> bool:
            return bool(self._api.get(path).raise_for_status().json()["state"] == "running")

        wait_until(is_running, within=START_SECONDS, every=POLL_SECONDS, what=f"{task_id} runs")
        self._api.patch(path, json={"new_state": state}).raise_for_status()

    def state_at_end(self, dag_id: str, run_id: str, timeout: float) -> str:
        """Wait for the end of a run."""

        def state() -> str:
            return str(self._api.get(f"/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()["state"])

        wait_until(
            lambda: state() in {"success", "failed"}, within=timeout, every=POLL_SECONDS, what=f"{dag_id} has ended"
        )
        return state()

    def _answers(self, path: str) -> bool:
        try:
            return self._api.get(path).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _left_over(self) -> list[int]:
        sessions = {process.pid for process in self._processes}
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in pids if _session(pid) in sessions]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
