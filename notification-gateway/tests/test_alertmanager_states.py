"""A changed alert of Alertmanager is never treated as a repeat, however soon it changes."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from notification_gateway.app import create_app
from notification_gateway.tables import incidents
from running_gateway import ADMIN, TOKEN, SteppedGateway, Watch, settings, signal
from testkit.running_app import RunningApp

START = "2026-01-05T12:00:10Z"


@pytest.fixture
def running(database_url: str, watch: Watch) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(database_url), clock=watch)) as running:
        yield running


def post(running: RunningApp, status: str, **changes: str | None) -> httpx.Response:
    ended = {"endsAt": "2026-01-05T12:00:20Z"} if status == "resolved" else {}
    alert = {
        "status": status,
        "labels": {"alertname": "DiskFull", "severity": "critical"},
        "startsAt": START,
        "fingerprint": "f1",
    }
    return running.post("/webhooks/alertmanager", {"alerts": [alert | ended | changes]}, token=TOKEN)


def states(running: RunningApp) -> list[str]:
    return [each["state"] for each in running.ask("/alerts")["alerts"]]


def test_the_same_episode_that_fires_ends_and_fires_again_within_a_minute_is_open(
    running: RunningApp, watch: Watch
) -> None:
    for status, state in [("firing", "open"), ("resolved", "resolved")] * 3 + [("firing", "open")]:
        assert post(running, status).json()["accepted"] == 1
        assert states(running) == [state]
        # A repeat, because the answer was lost, changes nothing and counts nothing.
        assert post(running, status).json()["duplicates"] == 1
        assert states(running) == [state]
        watch.forward(seconds=3)
    (alert,) = running.ask("/alerts")["alerts"]
    assert alert["occurrences"] == 4


@pytest.mark.parametrize("start", ["2026-01-05T11:59:00Z", None])
def test_an_end_after_the_known_start_resolves_it_even_if_start_times_differ(
    running: RunningApp, watch: Watch, start: str | None
) -> None:
    post(running, "firing")
    watch.forward(minutes=5)
    post(running, "resolved", startsAt=start, endsAt="2026-01-05T12:04:00Z")
    assert states(running) == ["resolved"]


def test_a_start_in_the_future_does_not_keep_an_incident_open(running: RunningApp, watch: Watch) -> None:
    post(running, "firing", startsAt="2026-01-05T13:00:00Z")
    watch.forward(minutes=5)
    post(running, "resolved", endsAt="2026-01-05T12:04:00Z")
    assert states(running) == ["resolved"]


def test_the_end_of_an_earlier_episode_that_comes_late_ends_nothing(running: RunningApp, watch: Watch) -> None:
    watch.forward(minutes=5)
    post(running, "firing", startsAt="2026-01-05T12:04:00Z")
    post(running, "resolved", startsAt=START, endsAt="2026-01-05T12:03:00Z")
    assert states(running) == ["open"]


def test_a_repeat_of_a_false_alarm_does_not_reopen_it(running: RunningApp, watch: Watch) -> None:
    post(running, "firing")
    closing = {"by": "li.wei", "false_alarm": True}
    running.http.post("/alerts/1/close", json=closing, headers={"Authorization": f"Bearer {ADMIN}"}).raise_for_status()
    for _ in range(3):
        watch.forward(hours=4)
        post(running, "firing")
    assert states(running) == ["resolved"]
    watch.forward(minutes=1)
    post(running, "firing", startsAt="2026-01-05T20:00:00Z")
    assert states(running) == ["open", "resolved"]


def test_a_closed_incident_stays_closed_when_the_same_webhook_is_repeated(running: RunningApp, watch: Watch) -> None:
    post(running, "firing")
    closed = running.http.post("/alerts/1/close", json={"by": "li.wei"}, headers={"Authorization": f"Bearer {ADMIN}"})
    assert closed.is_success
    watch.forward(seconds=3)
    assert post(running, "firing").json()["duplicates"] == 1
    assert states(running) == ["resolved"]


@pytest.mark.parametrize("seconds", [15, 75], ids=["the same minute", "another minute"])
@pytest.mark.parametrize("later", [0, 10], ids=["the same episode", "a later episode"])
def test_a_webhook_that_arrives_after_a_newer_end_does_not_reopen_the_incident(
    stepped: SteppedGateway, seconds: float, later: float
) -> None:
    began = stepped.watch.now

    def send(kind: str, last_seen: float, taken: float, starts_at: float) -> None:
        stepped.watch.now = began + timedelta(seconds=taken)
        stepped.fire(
            signal(
                ("alertmanager", "DiskFull", "f1"),
                began + timedelta(seconds=last_seen),
                monitoring_point="alertmanager.alert",
                kind=kind,
                tags={"starts_at": (began + timedelta(seconds=starts_at)).isoformat()},
            )
        )

    send("fired", 0, 0, 0)
    # It ended earlier than Alertmanager said so.
    send("recovered", seconds - 5, seconds, later)
    send("fired", seconds - 1, seconds + 1, later)
    assert [row["state"] for row in stepped.rows(incidents)] == ["resolved"]
    send("fired", seconds + 2, seconds + 2, later)
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]
