"""The reports of Airflow's own processes to collector and gateway: scheduler, executor, one process per task."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import pytest
from fake_handover import FakeHandover

from localservers.waiting import TooLateError, wait_until
from testkit.airflow_processes import POLL_SECONDS, AirflowProcesses
from testkit.fake_server import FakeServer

SAMPLES = Path(__file__).parent / "samples"
DAGS = Path(__file__).parents[2] / "dags"
STATES = {
    "killed": "failed",
    "killed_in_a_run_that_passes": "success",
    "raises": "failed",
    "flaky": "success",
    "mapped": "failed",
    "fails_in_a_step": "failed",
    "marked_failed": "failed",
    "recommendation_pipeline": "success",
}

# Of each task that fails finally, of the step, and of the import; the task marked by hand may be reported twice.
EVENTS = 8
IMPORT_FAILED = ["pipeline", "dag_import_failed", "broken.py"]
SNAPSHOT = "/somewhere/snapshots/s-1"
GOOD_RUN = f"""
from airflow.sdk import Metadata, dag, task
from pipeline_dags.assets import SNAPSHOT

@dag(schedule=None)
def recommendation_pipeline():
    @task(outlets=[SNAPSHOT])
    def work():
        yield Metadata(SNAPSHOT, extra={{"snapshot": "{SNAPSHOT}"}})

    work()

recommendation_pipeline()
"""

pytestmark = pytest.mark.timeout(420)


@dataclass(frozen=True)
class Outcome:
    """The observations of one run of each sample; `runs` are run ids by DAG id, `synced` the bodies of syncs."""

    runs: dict[str, str]
    synced: list[bytes]
    states: dict[str, str]
    events: list[dict[str, Any]]
    signals: list[dict[str, Any]]

    def events_of(self, dag_id: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["fingerprint"][1] == dag_id]

    def signals_of(self, kind: str) -> list[list[str]]:
        return sorted(fingerprints(self.signals, kind))


def fingerprints(signals: list[dict[str, Any]], kind: str) -> list[list[str]]:
    return [signal["fingerprint"] for signal in signals if signal["kind"] == kind]


@pytest.fixture(scope="module")
def feature_sync() -> Iterator[FakeHandover]:
    with FakeHandover() as server:
        yield server


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, feature_sync: FakeHandover) -> Iterator[Outcome]:
    fake_server = FakeServer()
    fake_server.start()
    settings = {
        "SENTRY_DSN": fake_server.dsn,
        "GATEWAY_URL": fake_server.url,
        "SENTRY_ENVIRONMENT": "test",
        "FEATURE_SYNC_URL": feature_sync.url,
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
    }
    dags = tmp_path_factory.mktemp("dags")
    copytree(SAMPLES, dags, dirs_exist_ok=True)
    copy(DAGS / "feature_sync.py", dags)
    (dags / "recommendation_pipeline.py").write_text(GOOD_RUN, encoding="utf-8")
    broken = dags / "broken.py"
    broken.write_text("from airflow.sdk import dag\n\nraise RuntimeError('x')\n", encoding="utf-8")
    with AirflowProcesses(tmp_path_factory.mktemp("airflow"), dags, settings) as airflow:
        # An asset only starts DAGs that are known.
        airflow.wait_for("feature_sync")
        runs = {dag_id: airflow.trigger(dag_id) for dag_id in STATES}
        airflow.mark_task("marked_failed", runs["marked_failed"], "slow", "failed")
        states = {dag_id: airflow.state_at_end(dag_id, run_id, 120) for dag_id, run_id in runs.items()}
        with suppress(TooLateError):
            # The tests name a missing event.
            wait_until(
                lambda: "GET /sync/j-1" in feature_sync.calls, within=60, every=POLL_SECONDS, what="the sync by asset"
            )
            wait_until(
                lambda: len({event["event_id"] for event in fake_server.events}) >= EVENTS,
                within=90,
                every=POLL_SECONDS,
                what=f"event {EVENTS}",
            )
            broken.write_text("from airflow.sdk import dag\n", encoding="utf-8")
            wait_until(
                lambda: IMPORT_FAILED in fingerprints(fake_server.signals, "recovered"),
                within=60,
                every=POLL_SECONDS,
                what="the import's recovery",
            )
    # The processes have stopped and delivered everything: nothing more can come.
    yield Outcome(runs, feature_sync.bodies, states, fake_server.events, fake_server.signals)
    fake_server.stop()


def test_the_samples_end_as_intended(outcome: Outcome) -> None:
    assert outcome.states == STATES


def test_a_task_that_raises_is_one_event_after_its_last_try(outcome: Outcome) -> None:
    (event,) = outcome.events_of("raises")
    assert event["fingerprint"] == ["airflow", "raises", "divide"]
    assert event["level"] == "error"
    assert event["environment"] == "test"
    assert event["tags"] == {
        "service": "airflow",
        "monitoring_point": "airflow.task_failed",
        "dag_id": "raises",
        "task_id": "divide",
        "run_id": outcome.runs["raises"],
        "logical_date": "none",
        "try_number": "2",
    }
    (raised,) = event["exception"]["values"]
    assert (raised["type"], raised["value"]) == ("ZeroDivisionError", "division by zero")
    assert raised["stacktrace"]["frames"][-1]["function"] == "divide"


@pytest.mark.parametrize("dag_id", ["killed", "killed_in_a_run_that_passes"])
def test_a_killed_task_is_one_event_by_the_scheduler(outcome: Outcome, dag_id: str) -> None:
    (event,) = outcome.events_of(dag_id)
    assert event["fingerprint"] == ["airflow", dag_id, "die"]
    assert event["level"] == "error"
    assert event["tags"]["run_id"] == outcome.runs[dag_id]
    assert event["tags"]["try_number"] == "1"
    assert "ended without a report" in event["logentry"]["formatted"]


def test_a_task_that_passes_in_a_later_try_is_no_event(outcome: Outcome) -> None:
    assert outcome.events_of("flaky") == []


def test_every_event_has_its_signal_and_there_are_no_others(outcome: Outcome) -> None:
    fired = {signal["event_id"] for signal in outcome.signals if signal["kind"] == "fired"}
    assert fired == {event["event_id"] for event in outcome.events}
    assert outcome.signals_of("fired") == sorted(event["fingerprint"] for event in outcome.events)


def test_a_task_that_passes_ends_its_incident(outcome: Outcome) -> None:
    assert [each for each in outcome.signals_of("recovered") if each[0] == "airflow"] == [
        ["airflow", "feature_sync", "sync"],
        ["airflow", "flaky", "second_time_lucky"],
        ["airflow", "killed_in_a_run_that_passes", "clean_up"],
        ["airflow", "recommendation_pipeline", "work"],
    ]


def test_the_success_of_a_try_that_was_marked_as_failed_ends_nothing(outcome: Outcome) -> None:
    events = outcome.events_of("marked_failed")
    # Reported by the API server at once, and by the scheduler at the run's end: one event by its id.
    assert len({event["event_id"] for event in events}) == 1
    assert events[0]["fingerprint"] == ["airflow", "marked_failed", "slow"]
    assert ["airflow", "marked_failed", "slow"] not in outcome.signals_of("recovered")


def test_a_mapped_task_does_not_recover_by_one_instance_while_another_has_failed(outcome: Outcome) -> None:
    assert len(outcome.events_of("mapped")) == 1
    assert ["airflow", "mapped", "part"] not in outcome.signals_of("recovered")


def test_reports_of_a_tasks_own_code_name_run_and_task(outcome: Outcome) -> None:
    (event,) = outcome.events_of("sample_step")
    assert event["fingerprint"] == ["pipeline", "sample_step", "LookupError"]
    tags = {name: event["tags"][name] for name in ("dag_id", "task_id", "run_id")}
    assert tags == {
        "dag_id": "fails_in_a_step",
        "task_id": "call_step",
        "run_id": outcome.runs["fails_in_a_step"],
    }


def test_a_recovery_names_the_task_that_passed(outcome: Outcome) -> None:
    (signal,) = (each for each in outcome.signals if each["fingerprint"][1] == "flaky")
    tags = {name: signal["tags"][name] for name in ("dag_id", "task_id", "run_id", "try_number")}
    assert tags == {
        "dag_id": "flaky",
        "task_id": "second_time_lucky",
        "run_id": outcome.runs["flaky"],
        "try_number": "2",
    }


def test_a_dag_file_with_an_import_error_is_reported_and_recovers_when_it_is_corrected(outcome: Outcome) -> None:
    (event,) = (each for each in outcome.events if each["fingerprint"] == IMPORT_FAILED)
    assert event["level"] == "error"
    assert event["logentry"]["formatted"].endswith("RuntimeError: x")
    assert IMPORT_FAILED in outcome.signals_of("recovered")


def test_the_sync_follows_the_asset_with_the_address_of_its_event(outcome: Outcome) -> None:
    assert [json.loads(body) for body in outcome.synced] == [{"snapshot": SNAPSHOT}]


def test_only_successful_pipeline_runs_are_signalled_to_the_gateway(outcome: Outcome) -> None:
    (signal,) = (each for each in outcome.signals if each["monitoring_point"] == "pipeline.no_recent_run")
    assert (signal["kind"], signal["fingerprint"]) == ("recovered", ["pipeline", "no_recent_run"])
    assert signal["tags"]["run_id"] == outcome.runs["recommendation_pipeline"]
