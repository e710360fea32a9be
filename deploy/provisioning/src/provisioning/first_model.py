"""Trains the first model through Airflow, like every later one."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn
from urllib.parse import quote

import httpx

DAG = "recommendation_pipeline"
# Follows the asset of the snapshot that the other announces after its deployment.
SYNC_DAG = "feature_sync"
# While everything starts at once on a small machine, answers are slow.
TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 1.0
TRAINING_SECONDS = 900.0
SYNC_SECONDS = 300.0
PARSING_SECONDS = 120.0
_ENDED = ("success", "failed")


class TrainingFailedError(RuntimeError):
    """The pipeline didn't deploy a model; the message names the place to look."""


class AirflowClient:
    """The calls to Airflow's REST API at a start."""

    def __init__(
        self,
        url: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._sleep = sleep
        self._clock = clock
        try:
            self._http = httpx.Client(base_url=f"{url}/api/v2", timeout=TIMEOUT_SECONDS)
        except (httpx.InvalidURL, ValueError) as error:
            raise TrainingFailedError("AIRFLOW_URL can't be used as a URL") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def train(self, on_progress: Callable[[str], None]) -> None:
        """Train and deploy a model, and wait until its features are synced; raises `TrainingFailedError`."""
        for dag_id in (DAG, SYNC_DAG):
            # Each file is parsed by itself, and an asset only starts DAGs that are known.
            self._wait_for(partial(self._is_known, dag_id), PARSING_SECONDS, f"{dag_id} is not known")
            self._call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})
        earlier = self._runs(SYNC_DAG)
        run = self._call("POST", f"/dags/{DAG}/dagRuns", {"logical_date": None, "conf": {}})["dag_run_id"]
        self._wait_for_end(DAG, run, TRAINING_SECONDS, on_progress)
        if "deploy" not in self._tasks(DAG, run, "success"):
            # Without data there is nothing to train, and nothing to sync.
            return
        self._wait_for(
            lambda: bool(self._runs(SYNC_DAG) - earlier), SYNC_SECONDS, f"{SYNC_DAG} has not begun after the deployment"
        )
        self._wait_for_end(SYNC_DAG, min(self._runs(SYNC_DAG) - earlier), SYNC_SECONDS, on_progress)

    def _wait_for(self, is_so: Callable[[], bool], within: float, otherwise: str) -> None:
        deadline = self._clock() + within
        while not is_so():
            if self._clock() > deadline:
                raise TrainingFailedError(f"{otherwise} within {within:g} s: {self._url}/dags")
            self._sleep(POLL_SECONDS)

    def _is_known(self, dag_id: str) -> bool:
        try:
            return self._http.get(f"/dags/{dag_id}").is_success
        except httpx.RequestError as error:
            raise TrainingFailedError(f"Airflow at {self._url} can't be reached: {error}") from error

    def _wait_for_end(self, dag_id: str, run: str, within: float, on_progress: Callable[[str], None]) -> None:
        deadline = self._clock() + within
        shown = ""
        # An id has colons and a plus sign.
        while (state := self._call("GET", f"/dags/{dag_id}/dagRuns/{quote(run)}")["state"]) not in _ENDED:
            if self._clock() > deadline:
                raise TrainingFailedError(f"{dag_id} still runs after {within:g} s: {self._url}/dags/{dag_id}")
            running = ", ".join(self._tasks(dag_id, run, "running"))
            if running and running != shown:
                on_progress(f"{dag_id}: {running}")
                shown = running
            self._sleep(POLL_SECONDS)
        if state == "failed":
            failed = ", ".join(self._tasks(dag_id, run, "failed")) or "no task"
            raise TrainingFailedError(f"{dag_id} failed at {failed}; see {self._url}/dags/{dag_id}/runs/{run}")

    def _runs(self, dag_id: str) -> set[str]:
        newest_first = self._call("GET", f"/dags/{dag_id}/dagRuns?order_by=-run_after")
        return {run["dag_run_id"] for run in newest_first["dag_runs"]}

    def _tasks(self, dag_id: str, run: str, state: str) -> list[str]:
        found = self._call("GET", f"/dags/{dag_id}/dagRuns/{quote(run)}/taskInstances")["task_instances"]
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


def has_active_model(registry_url: str, token: str, model: str = "ranker") -> bool:
    """Return whether the registry has a model in service; raises `TrainingFailedError`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(f"{registry_url}/models/{model}/active", headers=headers, timeout=TIMEOUT_SECONDS)
    except (httpx.RequestError, httpx.InvalidURL, UnicodeError) as error:
        raise TrainingFailedError(f"the registry (REGISTRY_URL) doesn't answer: {type(error).__name__}") from error
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise TrainingFailedError("the registry (REGISTRY_URL) rejects the token (REGISTRY_CI_TOKEN)")
    return answer.status_code == httpx.codes.OK


class _Answer(dict[str, Any]):
    """An answer of Airflow; a missing field raises `TrainingFailedError`."""

    def __missing__(self, name: str) -> NoReturn:
        raise TrainingFailedError(f"Airflow answered without {name!r}; is AIRFLOW_URL right?")
