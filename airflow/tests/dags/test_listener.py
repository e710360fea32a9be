"""The listener in the process of a task."""

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import TaskRunnerMarker

from airflow_monitoring.listener import Listener
from monitoring import testing


def test_a_run_for_a_date_carries_it_as_a_tag(samples: dict[str, Any]) -> None:
    day = datetime(2026, 2, 3, tzinfo=UTC)
    with testing.captured() as captured:
        samples["raises"].test(logical_date=day)
    (report,) = captured.of("airflow.task_failed")
    assert report.fingerprint == ("airflow", "raises", "divide")
    assert report.tags["logical_date"] == day.isoformat()
    assert report.tags["try_number"] == "2"


def test_a_task_that_passes_reports_its_recovery(samples: dict[str, Any]) -> None:
    with testing.captured() as captured:
        samples["flaky"].test()
    assert captured == []
    assert [over.fingerprint for over in captured.recovered] == [("airflow", "flaky", "second_time_lucky")]


def test_the_process_of_a_task_does_not_watch_dag_files(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of the watching thread would be a warning, and so an error."""
    listener, runner = Listener(), TaskRunnerMarker()
    listener.on_starting(runner)
    listener.before_stopping(runner)
    assert caplog.records == []
