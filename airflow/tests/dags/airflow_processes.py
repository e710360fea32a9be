"""Airflow's processes as they run in the stack, for tests: LocalExecutor, free ports, SQLite."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from localservers.waiting import wait_until

COMMANDS = (("api-server",), ("scheduler", "--skip-serve-logs"), ("dag-processor",))
START_SECONDS = 120
POLL_SECONDS = 0.2
STOP_SECONDS = 15


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class AirflowProcesses:
    """`with AirflowProcesses(home, dags, settings) as airflow: airflow.run("some_dag")`."""

    def __init__(self, home: Path, dags: Path, settings: dict[str, str]) -> None:
        self._home = home
        self._url = f"http://127.0.0.1:{free_port()}"
        self._bin = Path(sys.executable).parent
        self._environment = {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "HOME": str(home),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self._url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": self._url.rpartition(":")[2],
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": "j" * 64,
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **settings,
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self._api = httpx.Client(base_url=f"{self._url}/api/v2", timeout=60)

    def __enter__(self) -> "AirflowProcesses":
        subprocess.run([self._bin / "airflow", "db", "migrate"], env=self._environment, check=True, capture_output=True)
        for command in COMMANDS:
            with (self._home / f"{command[0]}.log").open("wb") as log:
                # A session of its own, in which its orphans can be found.
                self._processes.append(
                    subprocess.Popen(
                        [self._bin / "airflow", *command],
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

    def trigger(self, dag_id: str) -> str:
        """Start a run as soon as the DAG is known; return the run's id."""
        self.wait_for(dag_id)
        answer = self._api.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": {}})
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
