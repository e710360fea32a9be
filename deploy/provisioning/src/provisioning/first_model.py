"""Trains the first model through Airflow, like every later one."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import httpx

DAG = "recommendation_pipeline"
# While everything starts at once on a small machine, answers are slow.
TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 1.0
TRAINING_SECONDS = 900.0
_ENDED = ("success", "failed")


class TrainingFailedError(RuntimeError):
    """The pipeline didn't deploy a model; the message names the place to look."""


class AirflowClient:
    """The calls to Airflow's REST API at a start."""

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            self._http = httpx.Client(base_url=f"{url}/api/v2", timeout=TIMEOUT_SECONDS)
        except (httpx.InvalidURL, ValueError) as error:
            raise TrainingFailedError("AIRFLOW_URL can't be used as a URL") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run_dag(self, dag_id: str, on_progress: Callable[[str], None]) -> None:
        """Trigger a DAG and wait for its end; raises `TrainingFailedError`, which names the failed tasks."""
        self._call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})
        run = self._call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": {}})["dag_run_id"]
        deadline = time.monotonic() + TRAINING_SECONDS
        shown = ""
        while (state := self._call("GET", f"/dags/{dag_id}/dagRuns/{run}")["state"]) not in _ENDED:
            if time.monotonic() > deadline:
                raise TrainingFailedError(
                    f"{dag_id} still runs after {TRAINING_SECONDS:g} s: {self._url}/dags/{dag_id}"
                )
            running = ", ".join(self._tasks(dag_id, run, "running"))
            if running and running != shown:
                on_progress(f"{dag_id}: {running}")
                shown = running
            time.sleep(POLL_SECONDS)
        if state == "failed":
            failed = ", ".join(self._tasks(dag_id, run, "failed")) or "no task"
            raise TrainingFailedError(f"{dag_id} failed at {failed}; see {self._url}/dags/{dag_id}/runs/{run}")

    def _tasks(self, dag_id: str, run: str, state: str) -> list[str]:
        found = self._call("GET", f"/dags/{dag_id}/dagRuns/{run}/taskInstances")["task_instances"]
        return [task["task_id"] for task in found if task["state"] == state]

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.RequestError as error:
            raise TrainingFailedError(f"Airflow at {self._url} can't be reached: {error}") from error
        if response.is_success:
            try:
                return _Answer(response.json())
            except (ValueError, TypeError, RecursionError) as error:
                kind = response.headers.get("Content-Type") or "no content type"
                raise TrainingFailedError(f"{response.url} answered with {kind}, not as Airflow does") from error
        raise TrainingFailedError(f"Airflow answered {response.status_code} to {method} {path}: {response.text[:500]}")


def has_active_model(registry_url: str, model: str = "ranker") -> bool:
    """Return whether the registry has a model in service; raises `TrainingFailedError`."""
    try:
        return httpx.get(f"{registry_url}/models/{model}/active", timeout=TIMEOUT_SECONDS).status_code == 200
    except (httpx.RequestError, httpx.InvalidURL, UnicodeError) as error:
        raise TrainingFailedError(f"the registry (REGISTRY_URL) doesn't answer: {type(error).__name__}") from error


class _Answer(dict[str, Any]):
    """An answer of Airflow; a missing field raises `TrainingFailedError`."""

    def __missing__(self, name: str) -> NoReturn:
        raise TrainingFailedError(f"Airflow answered without {name!r}; is AIRFLOW_URL right?")
