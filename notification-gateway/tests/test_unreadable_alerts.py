"""Alertmanager's batches are read alert by alert, and unreadable alerts are reported."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import monitoring
from monitoring import MonitoringSettings
from monitoring.testing import captured
from notification_gateway.app import create_app
from notification_gateway.own_signals import OwnSignals
from notification_gateway.unreadable import POINT
from running_gateway import TOKEN, Watch, settings
from testkit.running_app import RunningApp


@pytest.fixture
def running(database_url: str, watch: Watch) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(database_url), clock=watch)) as running:
        yield running


def alert(number: int | str, **changes: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": f"Disk{number}", "severity": "critical"},
        "annotations": {"summary": "the disk is full"},
        "startsAt": "2026-01-05T11:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": f"f{number}",
    } | changes


def send(running: RunningApp, path: str, body: Any) -> httpx.Response:
    # As bytes of our own: a client refuses to write half a surrogate pair, which JSON can hold.
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    return running.http.post(path, content=json.dumps(body).encode(), headers=headers)


def post(running: RunningApp, *alerts: Any, **more: Any) -> dict[str, Any]:
    body = {"version": "4", "receiver": "recsys", "groupKey": "{}:{job=x}", "alerts": list(alerts)} | more
    answer = send(running, "/webhooks/alertmanager", body)
    assert answer.status_code == 202, answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt


def listed(running: RunningApp) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = running.ask("/alerts", limit=500)["alerts"]
    return found


def test_a_thousand_and_one_alerts_are_accepted(running: RunningApp) -> None:
    running.http.timeout = httpx.Timeout(120)
    assert post(running, *map(alert, range(1001)))["accepted"] == 1001
    assert post(running, *map(alert, range(1001)))["duplicates"] == 1001


def test_one_broken_alert_of_a_hundred_is_reported_once_and_the_others_are_accepted(running: RunningApp) -> None:
    with captured() as reports:
        receipt = post(running, *(alert(each, **({"startsAt": "soon"} if each == 50 else {})) for each in range(100)))
    assert receipt == {"accepted": 99, "duplicates": 0, "unreadable": 1, "truncated": 0}
    assert len(listed(running)) == 99
    (report,) = reports
    assert report.point_id == POINT
    assert report.fingerprint == ("gateway", "unreadable_alert", "alertmanager recsys")
    assert "1 of 100 alerts can't be read (first: alerts.50: startsAt: " in report.message
    assert report.message.endswith("; receiver recsys, group {}:{job=x}")


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        (alert("b", status="suppressed"), "status"),
        (alert("b", labels=["a"]), "labels"),
        (alert("b", startsAt=1760000000), "startsAt"),
        (None, ""),
        ("firing", ""),
        ({}, "status"),
    ],
)
def test_an_alert_that_cannot_be_read_is_counted_by_its_field(running: RunningApp, broken: Any, field: str) -> None:
    with captured() as reports:
        assert post(running, alert(1), broken)["accepted"] == 1
    assert len(reports.of(POINT)) == 1
    assert f'gateway_rejected_total{{field="{field}",source="alertmanager"}} 1.0' in running.get("/metrics").text


@pytest.mark.parametrize(
    "odd",
    [
        {"annotations": None},
        {"labels": None},
        {"labels": {"alertname": "n", "port": 9090, "up": True, "none": None, "list": [1]}},
        {"startsAt": None},
        {"startsAt": "0001-01-01T00:00:00+14:00"},
        {"status": "resolved", "endsAt": "9999-12-31T23:59:59-14:00"},
        {"labels": {"alertname": "half \ud83d", "nul\0": "\0"}, "annotations": {"summary": "\ud83d"}},
        {"labels": {"alertname": "L" * 400, "severity": "critical", "x": "y" * 5000, "service": "s" * 100}},
        {"annotations": {"summary": "x" * 2_000_000}},
        {"fingerprint": 7, "generatorURL": None},
        {"later": {"unknown": 1}},
    ],
)
def test_an_unusual_but_valid_alert_is_accepted(running: RunningApp, odd: dict[str, Any]) -> None:
    with captured() as reports:
        assert post(running, alert(1, **odd), alert(2), version="5")["accepted"] == 2
    assert reports == []
    assert all(len(each["message"]) <= 2000 for each in listed(running))
    for page in ("/alerts", "/dashboard", "/dashboard/incidents"):
        assert running.http.get(page).status_code == 200


@pytest.mark.parametrize(
    ("labels", "levels"),
    [
        *(({"severity": word}, ("error", "fatal")) for word in ("Critical", "page", "emergency", "P0", "High", "SEV1")),
        *(({"severity": word}, ("error",)) for word in ("dreadful", "", " ", 7, None, ["critical"])),
        ({}, ("error",)),
        ({"severity": "warning"}, ("warning",)),
        ({"severity": "WARN"}, ("warning",)),
        ({"severity": "none"}, ("info",)),
        ({"severity": "Info"}, ("info",)),
    ],
)
def test_an_alert_of_an_unknown_severity_or_of_none_is_never_less_than_an_error(
    running: RunningApp, labels: dict[str, Any], levels: tuple[str, ...]
) -> None:
    post(running, alert(1, labels={"alertname": "Disk"} | labels))
    (taken,) = listed(running)
    assert taken["level"] in levels


def test_labels_that_are_cut_or_escaped_stay_different(running: RunningApp) -> None:
    names = ["L" * 600 + "a", "L" * 600 + "b", "half \ud83d", "half \ud83e", "half \ufffd"]
    post(running, *(alert(1, labels={"alertname": name}, fingerprint="") for name in names))
    assert len({tuple(each["fingerprint"]) for each in listed(running)}) == len(names)


@pytest.mark.parametrize(("said", "truncated"), [(500, 500), ("500", 1), (-3, 0), (10**30, 2**31), (None, 0)])
def test_alerts_that_alertmanager_left_out_are_reported(running: RunningApp, said: Any, truncated: int) -> None:
    with captured() as reports:
        assert post(running, alert(1), truncatedAlerts=said)["truncated"] == truncated
    assert [f"left out {truncated} (truncatedAlerts)" in each.message for each in reports] == [True] * bool(truncated)


@pytest.mark.parametrize("body", [{}, {"alerts": None}, {"alerts": {"a": 1}}, {"alerts": "x", "receiver": ["\ud83d"]}])
def test_an_object_without_alerts_is_one_unreadable_alert(running: RunningApp, body: dict[str, Any]) -> None:
    with captured() as reports:
        answer = send(running, "/webhooks/alertmanager", body)
    assert (answer.status_code, answer.json()["unreadable"], len(reports.of(POINT))) == (202, 1, 1)


def test_a_body_that_is_not_an_object_is_rejected(running: RunningApp) -> None:
    for body in ([], "x", 1, None):
        assert send(running, "/webhooks/alertmanager", body).status_code == 422


def test_an_unreadable_alert_becomes_an_incident_of_the_gateway(database_url: str, until: Any) -> None:
    own_signals = OwnSignals()
    with RunningApp(create_app(settings(database_url), own_signals)) as running:
        monitoring.init("notification-gateway", MonitoringSettings(sentry_environment="test"), signal_sink=own_signals)
        try:
            post(running, alert(1), alert(2, status="odd \ud83d"), receiver="half \ud83d")
            until(lambda: len(listed(running)) == 2)
        finally:
            monitoring.shutdown()
        (own,) = (each for each in listed(running) if each["monitoring_point"] == POINT)
    assert (own["priority"], own["service"], own["level"]) == ("P1", "notification-gateway", "warning")
    assert own["fingerprint"][2] == "alertmanager half \ufffd"


class TestSignals:
    """POST /signals reads each signal by itself."""

    @staticmethod
    def signal(name: str, **changes: Any) -> dict[str, Any]:
        return {
            "signal_id": name,
            "kind": "fired",
            "monitoring_point": "api.unhandled",
            "fingerprint": ["api", name],
            "level": "error",
            "category": "api",
            "service": "tested",
            "environment": "test",
            "message": "it broke",
            "first_seen": "2026-01-05T12:00:00Z",
            "last_seen": "2026-01-05T12:00:00Z",
        } | changes

    def test_one_bad_signal_is_rejected_with_its_reason_and_the_others_are_accepted(self, running: RunningApp) -> None:
        odd = self.signal(
            "b", fingerprint=["api", "\ud83d"], tags={"\0": "\ud83d"}, request_ids=["\ud83d"], message="\ud83d"
        )
        batch = [self.signal("a"), odd, self.signal("c", level="loud"), self.signal("d", service=7), None]
        answer = send(running, "/signals", {"signals": batch})
        assert answer.status_code == 202
        receipt = answer.json()
        assert (receipt["accepted"], receipt["duplicates"]) == (2, 0)
        assert [each["signal_id"] for each in receipt["rejected"]] == ["c", "d", None]
        assert receipt["rejected"][0]["reason"].startswith("level: ")
        assert {each["fingerprint"][1]: each["message"] for each in listed(running)} == {
            "a": "it broke",
            "\\ud83d": "\ufffd",
        }
        assert 'gateway_signals_total{outcome="rejected"} 3.0' in running.get("/metrics").text

    def test_a_count_that_the_database_cannot_add_up_is_rejected_alone(self, running: RunningApp) -> None:
        batch = [self.signal("a"), self.signal("b", occurrences=2**41)]
        receipt = send(running, "/signals", {"signals": batch}).json()
        assert (receipt["accepted"], [each["signal_id"] for each in receipt["rejected"]]) == (1, ["b"])

    @pytest.mark.parametrize("body", [[], {}, {"signals": None}, {"signals": {}}, {"signals": []}, "x"])
    def test_a_body_without_a_list_of_signals_is_rejected(self, running: RunningApp, body: Any) -> None:
        assert send(running, "/signals", body).status_code == 422


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"alerts": [], "alerts": []}', b'{"alerts": [' + b"0," * 9_000_000 + b"0]}"]
)
def test_an_unreadable_webhook_is_counted_and_reported(running: RunningApp, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    with captured() as reports:
        answer = running.http.post("/webhooks/alertmanager", content=body, headers=headers)
    assert answer.status_code in (413, 422)
    (report,) = reports
    assert report.fingerprint == ("gateway", "unreadable_alert", "alertmanager")
    assert 'gateway_rejected_total{field="body",source="alertmanager"} 1.0' in running.get("/metrics").text


def test_an_unauthorized_body_raises_no_alert(running: RunningApp) -> None:
    with captured() as reports:
        assert running.http.post("/webhooks/alertmanager", content=b"[]").status_code == 401
    assert list(reports) == []


def test_a_status_in_capitals_is_accepted(running: RunningApp) -> None:
    assert post(running, alert(1, status="FIRING"))["accepted"] == 1
