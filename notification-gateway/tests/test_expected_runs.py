"""The gateway notices that no run of the pipeline has succeeded for longer than expected."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from monitoring.testing import captured
from notification_gateway.tables import pipeline_runs
from running_gateway import SteppedGateway, Watch, settings, signal

POINT = "pipeline.no_recent_run"


def stepped_on(database_url: str, watch: Watch, **more: object) -> SteppedGateway:
    return SteppedGateway(settings(database_url, sentry_environment="test", **more), watch)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def gateway(database_url: str, watch: Watch) -> Iterator[SteppedGateway]:
    running = stepped_on(database_url, watch)
    yield running
    running.close()


def good_run(gateway: SteppedGateway, at: datetime, environment: str = "test") -> None:
    gateway.fire(
        signal(("pipeline", "no_recent_run"), at, kind="recovered", service="airflow", environment=environment)
    )


def reports_after(gateway: SteppedGateway, hours: float, step: float = 1.0) -> list[str]:
    """Let time pass, with a check every `step` hours, and return the messages."""
    with captured() as reports:
        for _ in range(round(hours / step)):
            gateway.watch.forward(hours=step)
            gateway.gateway.alerts.expected_runs.check()
    assert {report.fingerprint for report in reports} <= {("pipeline", "no_recent_run")}
    return [report.message for report in reports]


def test_while_a_run_succeeds_each_night_nothing_is_reported(gateway: SteppedGateway, watch: Watch) -> None:
    for _ in range(10):
        good_run(gateway, watch.now)
        assert reports_after(gateway, 24) == []


def test_after_26_hours_without_a_successful_run_a_report_is_sent_once_a_day(
    gateway: SteppedGateway, watch: Watch
) -> None:
    good_run(gateway, watch.now)
    assert reports_after(gateway, 26) == []
    (message,) = reports_after(gateway, 20)
    assert "no run of the pipeline has succeeded for 27.0 hours" in message
    assert len(reports_after(gateway, 72)) == 3
    good_run(gateway, watch.now)
    assert reports_after(gateway, 26) == []


def test_without_any_run_the_time_counts_from_the_gateways_first_start_and_over_restarts(
    database_url: str, watch: Watch
) -> None:
    reported = []
    for _ in range(3):
        restarted = stepped_on(database_url, watch)
        restarted.gateway.alerts.expected_runs.check()
        reported.append(len(reports_after(restarted, 10)))
        restarted.close()
    assert reported == [0, 0, 1]


def test_a_restart_does_not_report_again(database_url: str, watch: Watch) -> None:
    first = stepped_on(database_url, watch)
    first.gateway.alerts.expected_runs.check()
    assert len(reports_after(first, 30)) == 1
    first.close()
    second = stepped_on(database_url, watch)
    assert reports_after(second, 2) == []
    second.close()


def test_a_run_of_another_environment_does_not_count(gateway: SteppedGateway, watch: Watch) -> None:
    good_run(gateway, watch.now)
    watch.forward(hours=20)
    for environment in ("verify", "staging"):
        good_run(gateway, watch.now, environment)
    assert len(reports_after(gateway, 10)) == 1
    assert [row["environment"] for row in gateway.rows(pipeline_runs)] == ["staging", "test", "verify"]


def test_a_late_recovery_counts_from_the_end_of_the_run(gateway: SteppedGateway, watch: Watch) -> None:
    began = watch.now
    watch.forward(hours=30)
    good_run(gateway, watch.now)
    good_run(gateway, began + timedelta(hours=1))
    (row,) = gateway.rows(pipeline_runs)
    assert row["good_at"] == watch.now


@pytest.mark.parametrize("hours", [0, 100])
def test_the_time_is_a_setting_and_0_turns_it_off(database_url: str, watch: Watch, hours: float) -> None:
    gateway = stepped_on(database_url, watch, expected_run_hours=hours)
    gateway.gateway.alerts.expected_runs.check()
    assert reports_after(gateway, 99) == []
    assert len(reports_after(gateway, 4)) == (1 if hours else 0)
    gateway.close()
