"""The first model is ready when it is deployed and its features are synced, which is the run of another DAG."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from provisioning.first_model import AirflowClient, TrainingFailedError
from testkit.threaded_server import SilentHandler, ThreadedServer

TRAINING, SYNC = "manual__2026-11-24T03:00:00+00:00", "asset_triggered__2026-11-24T03:10:00+00:00"


class Airflow(ThreadedServer):
    """Airflow's REST API with one training, after whose deployment the sync begins some questions later."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.training, self.sync = "success", "success"
        self.deployed = True
        self.unknown = {"feature_sync": 2}
        self.begins_after = 2
        self.waited = 0
        self.triggered = False
        self.calls: list[str] = []

    def runs(self, dag_id: str) -> list[str]:
        """Return the ids of a DAG's runs."""
        if dag_id != "feature_sync":
            return [TRAINING]
        earlier = ["asset_triggered__2026-11-23T03:10:00+00:00"]
        if not self.triggered or not self.deployed:
            return earlier
        self.waited += 1
        return [SYNC, *earlier] if self.waited > self.begins_after else earlier


class _Handler(SilentHandler):
    server: Airflow

    def do_GET(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self.read_body()
        self._answer()

    def do_POST(self) -> None:
        assert json.loads(self.read_body())["conf"] == {}
        self.server.triggered = True
        self._answer()

    def _answer(self) -> None:
        _, dag_id, *rest = self.path.partition("?")[0].removeprefix("/api/v2").strip("/").split("/")
        self.server.calls.append(f"{self.command} {dag_id}")
        if not rest and self.server.unknown.get(dag_id, 0):
            self.server.unknown[dag_id] -= 1
            self.send_json(404, {"detail": "not found"})
            return
        self.send_json(200, self._content(dag_id, rest))

    def _content(self, dag_id: str, rest: list[str]) -> dict[str, Any]:
        state = self.server.training if dag_id == "recommendation_pipeline" else self.server.sync
        if rest[-1:] == ["taskInstances"]:
            of_training = [{"task_id": "deploy", "state": "success" if self.server.deployed else "skipped"}]
            return {
                "task_instances": [{"task_id": "sync", "state": state}] if dag_id == "feature_sync" else of_training
            }
        if len(rest) == 1 and self.command == "GET":
            return {"dag_runs": [{"dag_run_id": each} for each in self.server.runs(dag_id)]}
        return {"dag_run_id": TRAINING, "state": state}


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    with Airflow() as running:
        yield running


def train(airflow: Airflow) -> None:
    times = iter(range(10_000))
    with closing(AirflowClient(airflow.url, sleep=lambda _: None, clock=lambda: float(next(times)))) as client:
        client.train(lambda _: None)


def test_the_end_of_the_sync_is_awaited_although_its_dag_is_parsed_and_started_late(airflow: Airflow) -> None:
    train(airflow)
    assert airflow.waited == airflow.begins_after + 2
    assert airflow.calls.index("POST recommendation_pipeline") > airflow.calls.index("PATCH feature_sync")


def test_without_data_nothing_is_deployed_and_no_sync_is_awaited(airflow: Airflow) -> None:
    airflow.deployed = False
    train(airflow)
    assert airflow.waited == 0


def test_a_sync_that_fails_or_never_begins_is_named(airflow: Airflow) -> None:
    airflow.sync = "failed"
    with pytest.raises(TrainingFailedError, match="feature_sync failed at sync"):
        train(airflow)
    airflow.begins_after = 10**6
    with pytest.raises(TrainingFailedError, match="feature_sync has not begun after the deployment within 300 s"):
        train(airflow)


def test_a_dag_that_is_never_parsed_is_named(airflow: Airflow) -> None:
    airflow.unknown["feature_sync"] = 10**6
    with pytest.raises(TrainingFailedError, match="feature_sync is not known within 120 s"):
        train(airflow)
