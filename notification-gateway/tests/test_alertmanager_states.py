"""An alert of Alertmanager that changes is never taken for a repeat, however soon it changes."""

from collections.abc import Iterator

import httpx
import pytest

from notification_gateway.app import create_app
from running_gateway import ADMIN, TOKEN, Watch, settings
from testkit.running_app import RunningApp

START = "2026-01-05T12:00:10Z"


@pytest.fixture
def running(database_url: str, watch: Watch) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(database_url), clock=watch)) as running:
        yield running


def post(running: RunningApp, status: str) -> httpx.Response:
    ended = {"endsAt": "2026-01-05T12:00:20Z"} if status == "resolved" else {}
    alert = {
        "status": status,
        "labels": {"alertname": "DiskFull", "severity": "critical"},
        "startsAt": START,
        "fingerprint": "f1",
    }
    return running.post("/webhooks/alertmanager", {"alerts": [alert | ended]}, token=TOKEN)


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


def test_what_a_person_closed_stays_closed_when_the_same_webhook_is_repeated(running: RunningApp, watch: Watch) -> None:
    post(running, "firing")
    closed = running.http.post("/alerts/1/close", json={"by": "li.wei"}, headers={"Authorization": f"Bearer {ADMIN}"})
    assert closed.is_success
    watch.forward(seconds=3)
    assert post(running, "firing").json()["duplicates"] == 1
    assert states(running) == ["resolved"]
