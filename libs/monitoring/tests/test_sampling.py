"""What settings leave out of the collector is signalled all the same, and no error is left to chance."""

import pytest
from pydantic import ValidationError

import monitoring
from monitoring import MonitoringSettings
from monitoring.process import counters
from testkit.fake_server import FakeServer


def report(point: str, number: int) -> str | None:
    return monitoring.report(point, error=ValueError(), step_name=f"step {number}")


def test_ignored_points_make_signals_but_no_events(settings: MonitoringSettings, fake_server: FakeServer) -> None:
    ignored = "pipeline.step_failed, fallback.precomputed_used"
    monitoring.init("tested", settings.model_copy(update={"sentry_ignored_points": ignored}))
    assert report("pipeline.step_failed", 1) is None
    assert report("pipeline.critical_step_failed", 1) is not None
    monitoring.flush(5)
    assert [event["tags"]["monitoring_point"] for event in fake_server.events] == ["pipeline.critical_step_failed"]
    assert [signal["event_id"] for signal in fake_server.signals] == [None, fake_server.events[0]["event_id"]]
    assert counters()["events_filtered"] == 1


def test_a_sample_of_warnings_is_sent_and_all_errors_and_signals(
    settings: MonitoringSettings, fake_server: FakeServer
) -> None:
    monitoring.init("tested", settings.model_copy(update={"sentry_sample_rate": 0.3}))
    for number in range(200):
        report("pipeline.step_failed", number)
        report("pipeline.critical_step_failed", number)
    monitoring.flush(10)
    levels = [event["level"] for event in fake_server.events]
    assert levels.count("error") == 200
    # 60 are expected; fewer than 30 or more than 90 is a chance of one in a million.
    assert 30 < levels.count("warning") < 90
    assert len(fake_server.signals) == 400


def test_a_point_that_does_not_exist_cannot_be_ignored() -> None:
    with pytest.raises(ValidationError, match="no monitoring point of the catalogue"):
        MonitoringSettings(sentry_ignored_points="redis.connection_failed,redis.typo")
