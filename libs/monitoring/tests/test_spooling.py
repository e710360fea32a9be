"""Nothing is lost: not by an outage, not by `kill -9`, not by a fork."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import monitoring
from monitoring import MonitoringSettings
from monitoring.process import counters
from testkit.fake_server import FakeServer

REPORTER = """
import os, sys, monitoring
monitoring.init("killed", monitoring.MonitoringSettings())
for number in range(10_000):
    try:
        raise ConnectionError(f"no {number}")
    except ConnectionError as error:
        event_id = monitoring.report(
            "pipeline.database", error=error, operation=f"op{number}", database="business"
        )
    os.write(1, f"{event_id}\\n".encode())
"""


@pytest.fixture
def spooling(settings: MonitoringSettings, tmp_path: Path) -> MonitoringSettings:
    return settings.model_copy(update={"spool_dir": tmp_path / "spool"})


def environment_of(settings: MonitoringSettings) -> dict[str, str]:
    assert settings.sentry_dsn is not None
    return os.environ | {
        "SENTRY_DSN": settings.sentry_dsn.get_secret_value(),
        "GATEWAY_URL": settings.gateway_url or "",
        "SPOOL_DIR": str(settings.spool_dir),
    }


def report(number: int) -> str | None:
    return monitoring.report("pipeline.database", error=ValueError(), operation=str(number), database="business")


@pytest.mark.parametrize("mode", ["down", "hang", "500"])
def test_every_error_of_a_killed_process_arrives_once_from_another(
    fake_server: FakeServer, spooling: MonitoringSettings, until, mode: str
) -> None:
    fake_server.mode = fake_server.gateway_mode = mode
    acknowledged = []
    with subprocess.Popen(
        [sys.executable, "-c", REPORTER], env=environment_of(spooling), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.append(line.strip())
            if len(acknowledged) == 300:
                process.send_signal(signal.SIGKILL)
                break
    fake_server.released.set()
    fake_server.mode = fake_server.gateway_mode = "ok"
    monitoring.init("survivor", spooling)
    until(lambda: {event["event_id"] for event in fake_server.events} >= {*acknowledged}, within=60)
    until(lambda: {each["event_id"] for each in fake_server.signals} >= {*acknowledged}, within=60)
    sent = Counter(event["event_id"] for event in fake_server.events)
    assert set(sent.values()) == {1}
    for event in fake_server.events:
        assert event["tags"]["service"] == "killed"
        assert event["fingerprint"][0] == "database"
        assert event["exception"]["values"][-1]["type"] == "ConnectionError"
        assert event["exception"]["values"][-1]["stacktrace"]["frames"][-1]["lineno"] == 6


def test_after_an_outage_every_event_arrives_once_with_its_id(
    fake_server: FakeServer, spooling: MonitoringSettings, until
) -> None:
    fake_server.mode = "down"
    monitoring.init("tested", spooling)
    ids = [report(number) for number in range(2000)]
    until(lambda: counters()["events_spooled"])
    fake_server.mode = "ok"
    until(lambda: len(fake_server.events) >= 2000, within=60)
    assert Counter(event["event_id"] for event in fake_server.events) == Counter(ids)
    until(lambda: counters()["events_delivered"] == 2000)
    assert [path for path in Path(spooling.spool_dir or "").rglob("*-*/*-*") if path.is_file()] == []


def test_what_waits_survives_a_restart(fake_server: FakeServer, spooling: MonitoringSettings, until) -> None:
    fake_server.mode = fake_server.gateway_mode = "down"
    monitoring.init("tested", spooling)
    event_id = report(1)
    monitoring.recovered("pipeline.database", operation="1", database="business")
    monitoring.shutdown()
    fake_server.mode = fake_server.gateway_mode = "ok"
    monitoring.init("tested", spooling)
    until(lambda: len(fake_server.events) == 1 and len(fake_server.signals) == 2)
    assert fake_server.events[0]["event_id"] == event_id
    assert [each["kind"] for each in fake_server.signals] == ["fired", "recovered"]
    until(lambda: counters()["events_resent"] == 1)


def test_shutdown_does_not_wait_for_a_dead_collector_when_all_is_on_disk(
    fake_server: FakeServer, spooling: MonitoringSettings
) -> None:
    import time

    fake_server.mode = fake_server.gateway_mode = "500"
    monitoring.init("tested", spooling)
    report(1)
    started = time.monotonic()
    monitoring.shutdown()
    assert time.monotonic() - started < 1.5


def test_what_the_bound_drops_is_itself_reported(fake_server: FakeServer, spooling: MonitoringSettings, until) -> None:
    fake_server.mode = "down"
    monitoring.init("tested", spooling.model_copy(update={"spool_max_mb": 1}))
    for number in range(40):
        monitoring.report("model.source_not_found", error=ValueError("x" * 4000), model_name=f"m{number}")
        monitoring.recovered("model.source_not_found")
    ballast = {f"n{number}": "x" * 4000 for number in range(40)}
    # So few that none of them pushes the report of the loss out of the bound.
    for number in range(7):
        monitoring.report("pipeline.database", operation=str(number), database="b", exception="E", **ballast)
    until(lambda: counters()["events_dropped"])
    fake_server.mode = "ok"
    until(lambda: any(event["tags"]["monitoring_point"] == "monitoring.dropped" for event in fake_server.events))
    until(lambda: "monitoring.dropped" in {each["monitoring_point"] for each in fake_server.signals})
    monitoring.flush(10)
    arrived = [event for event in fake_server.events if event["tags"]["monitoring_point"] != "monitoring.dropped"]
    assert len(arrived) + counters()["events_dropped"] == 47


def test_a_spool_that_cannot_be_written_turns_nothing_off(
    fake_server: FakeServer, settings: MonitoringSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monitoring.init("tested", settings.model_copy(update={"spool_dir": tmp_path / "file"}))
    assert "SPOOL_DIR cannot be written" in caplog.text
    report(1)
    monitoring.flush(5)
    assert len(fake_server.events) == 1


def test_a_forked_child_reports_on_its_own_and_lets_the_parents_spool_go(
    fake_server: FakeServer, spooling: MonitoringSettings, until
) -> None:
    """Airflow forks its tasks from a process that has monitoring on."""
    code = (
        "import os, sys, time, monitoring\n"
        "monitoring.init('forking', monitoring.MonitoringSettings())\n"
        "monitoring.report('api.startup_failed', error=ValueError())\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    monitoring.report('model.deployment_failed', model_name='m', stage='copy')\n"
        "    monitoring.flush(10)\n"
        "    os._exit(0)\n"
        "_, status = os.waitpid(child, 0)\n"
        "monitoring.flush(10)\n"
        "sys.exit(status)"
    )
    subprocess.run([sys.executable, "-c", code], env=environment_of(spooling), check=True)
    points = Counter(event["tags"]["monitoring_point"] for event in fake_server.events)
    assert points == {"api.startup_failed": 1, "model.deployment_failed": 1}
    assert len(fake_server.signals) == 2


def test_a_forked_child_does_not_keep_its_dead_parents_spool_locked(
    fake_server: FakeServer, spooling: MonitoringSettings, until
) -> None:
    code = (
        "import os, signal, sys, time, monitoring\n"
        "monitoring.init('parent', monitoring.MonitoringSettings())\n"
        "monitoring.report('api.startup_failed', error=ValueError())\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.write(1, str(os.getpid()).encode())\n"
        "    os.close(1)\n"
        "    time.sleep(60)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    fake_server.mode = "down"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment_of(spooling), check=False, stdout=subprocess.PIPE, text=True
    )
    child = int(done.stdout)
    try:
        fake_server.mode = "ok"
        monitoring.init("survivor", spooling)
        until(lambda: [event["tags"]["service"] for event in fake_server.events] == ["parent"])
    finally:
        os.kill(child, signal.SIGKILL)
