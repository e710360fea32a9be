"""Webhooks: only signed, recent and new ones are accepted, and no address in them is ever called."""

import hashlib
import hmac
import json
import socket
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import httpx
import pytest
from pydantic import ValidationError

from monitoring.testing import captured
from notification_gateway.app import create_app
from notification_gateway.retention import remove_old
from notification_gateway.tables import incidents
from notification_gateway.webhooks.replays import ReplayedError, reject_replay
from notification_gateway.webhooks.sentry_hooks import signal_of
from running_gateway import HOOK_SECRET, TOKEN, SteppedGateway, Watch, app_of, settings, signal
from servicekit.bodies import MAX_BODY_BYTES
from testkit.running_app import RunningApp

ISSUE = {
    "action": "created",
    "data": {
        "issue": {
            "id": "42",
            "title": "ValueError: no",
            "level": "error",
            "project": {"slug": "api"},
            "web_url": "http://sentry.test/42",
        }
    },
}
METRIC = {
    "action": "critical",
    "data": {"metric_alert": {"id": "7", "title": "p99", "projects": ["api"]}, "description_title": "Critical: p99"},
}
EVENT = {
    "action": "triggered",
    "data": {
        "event": {
            "event_id": "0" * 32,
            "title": "deploy failed",
            "level": "error",
            "fingerprint": ["model", "deployment_failed"],
            "tags": [["service", "model-registry"], ["monitoring_point", "model.deployment_failed"]],
        },
        "triggered_rule": "P0",
    },
}


@pytest.fixture
def running(sqlite_url: str, watch: Watch) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(sqlite_url), clock=watch)) as running:
        yield running


def hook(
    running: RunningApp,
    watch: Watch,
    payload: Any,
    *,
    resource: str = "issue",
    secret: str = HOOK_SECRET,
    at: float = 0,
    **headers: str,
) -> httpx.Response:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signed = {
        "Sentry-Hook-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        "Sentry-Hook-Timestamp": str(int(watch.now.timestamp() + at)),
        "Sentry-Hook-Resource": resource,
    }
    sent = {name: value.encode("latin-1") for name, value in (signed | headers).items()}
    return running.http.post("/webhooks/sentry", content=body, headers=sent)


def alerts(running: RunningApp) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = running.ask("/alerts")["alerts"]
    return found


@pytest.mark.parametrize(
    ("payload", "resource", "fingerprint", "service"),
    [
        (ISSUE, "issue", ["sentry", "issue", "42"], "api"),
        (METRIC, "metric_alert", ["sentry", "metric_alert", "7"], "api"),
        (EVENT, "event_alert", ["model", "deployment_failed"], "model-registry"),
    ],
)
def test_each_kind_of_sentry_hook_becomes_an_incident(
    running: RunningApp, watch: Watch, payload: Any, resource: str, fingerprint: list[str], service: str
) -> None:
    assert hook(running, watch, payload, resource=resource).json() == {"accepted": 1, "duplicates": 0}
    (alert,) = alerts(running)
    assert (alert["fingerprint"], alert["service"]) == (fingerprint, service)


def test_a_resolved_hook_ends_the_incident(running: RunningApp, watch: Watch) -> None:
    hook(running, watch, ISSUE)
    watch.forward(minutes=1)
    hook(running, watch, ISSUE | {"action": "resolved"})
    assert [alert["state"] for alert in alerts(running)] == ["resolved"]


@pytest.mark.parametrize(("payload", "resource"), [(ISSUE, "issue"), (METRIC, "metric_alert")])
def test_an_incident_of_sentry_stays_open_until_sentry_reports_its_end(
    stepped: SteppedGateway, payload: Any, resource: str
) -> None:
    def say(action: str) -> None:
        said = payload | {"action": action}
        taken = signal_of(resource, said, json.dumps(said).encode(), "test", stepped.watch.now)
        assert taken is not None
        stepped.fire(taken)

    say(payload["action"])
    stepped.pass_time(hours=3)
    assert [row["state"] for row in stepped.rows(incidents)] == ["open"]
    say("resolved")
    assert [(row["state"], row["resolution"]) for row in stepped.rows(incidents)] == [("resolved", "recovered")]


def test_an_event_alert_ends_by_quiet(stepped: SteppedGateway) -> None:
    taken = signal_of("event_alert", event(fingerprint=None, issue_id="42", tags=None), b"", "test", stepped.watch.now)
    assert taken is not None
    stepped.fire(taken)
    stepped.pass_time(minutes=15)
    assert [row["resolution"] for row in stepped.rows(incidents)] == ["quiet"]


@pytest.mark.parametrize("action", ["critical", "warning", "escalated", ""])
def test_every_action_of_a_metric_alert_except_its_end_is_an_alert(
    running: RunningApp, watch: Watch, action: str
) -> None:
    assert hook(running, watch, METRIC | {"action": action}, resource="metric_alert").json()["accepted"] == 1
    assert [alert["state"] for alert in alerts(running)] == ["open"]


@pytest.mark.parametrize("action", ["escalating", "regressed", "Created", "unresolved", "a later word", ""])
def test_every_action_of_an_issue_except_its_end_is_an_alert(running: RunningApp, watch: Watch, action: str) -> None:
    assert hook(running, watch, ISSUE | {"action": action}).json() == {"accepted": 1, "duplicates": 0}
    assert [alert["state"] for alert in alerts(running)] == ["open"]


@pytest.mark.parametrize(
    ("resource", "action"), [("issue", "assigned"), ("installation", "created"), ("comment", "created")]
)
def test_a_hook_that_is_not_an_alert_is_ignored(running: RunningApp, watch: Watch, resource: str, action: str) -> None:
    with captured() as reports:
        answer = hook(running, watch, ISSUE | {"action": action}, resource=resource)
    assert (answer.status_code, answer.json()["accepted"], reports) == (202, 0, [])


@pytest.mark.parametrize("resource", ["", "uptime_alert", "issue alert", "\xff"])
def test_a_hook_of_an_unknown_resource_is_reported_once(running: RunningApp, watch: Watch, resource: str) -> None:
    with captured() as reports:
        answers = [hook(running, watch, METRIC, resource=resource).status_code for _ in range(2)]
    assert answers == [202, 409]
    (report,) = reports
    assert (report.point_id, report.fingerprint[2].startswith("sentry ")) == ("gateway.unreadable_alert", True)


@pytest.mark.parametrize("payload", [b"", b"{}", {"action": "created", "data": {"issue": {"title": "x"}}}])
def test_an_unreadable_hook_is_reported(running: RunningApp, watch: Watch, payload: Any) -> None:
    with captured() as reports:
        assert hook(running, watch, payload).status_code == 422
    assert [report.fingerprint for report in reports] == [("gateway", "unreadable_alert", "sentry issue")]


@pytest.mark.parametrize(
    ("level", "expected"),
    [("Critical", "error"), ("fatal", "fatal"), ("warning", "warning"), ("dreadful", "error"), ("", "error")],
)
def test_an_issue_of_an_unknown_level_is_never_less_than_an_error(
    running: RunningApp, watch: Watch, level: str, expected: str
) -> None:
    hook(running, watch, issue(level=level))
    assert [alert["level"] for alert in alerts(running)] == [expected]


@pytest.mark.parametrize(
    "forgery",
    [
        {"secret": "another"},
        {"secret": ""},
        {"Sentry-Hook-Signature": ""},
        {"Sentry-Hook-Signature": "0" * 64},
        {"at": -301},
        {"at": 301},
        {"Sentry-Hook-Timestamp": ""},
        {"Sentry-Hook-Timestamp": "-1"},
        {"Sentry-Hook-Timestamp": "1e9"},
        {"Sentry-Hook-Timestamp": "nan"},
    ],
)
def test_a_forged_or_stale_hook_is_rejected(running: RunningApp, watch: Watch, forgery: dict[str, Any]) -> None:
    assert hook(running, watch, ISSUE, **forgery).status_code == 401
    assert alerts(running) == []


def test_a_changed_body_is_rejected(running: RunningApp, watch: Watch) -> None:
    body = json.dumps(ISSUE).encode()
    signature = hmac.new(HOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    forged = body.replace(b'"42"', b'"43"')
    assert hook(running, watch, forged, **{"Sentry-Hook-Signature": signature}).status_code == 401


UNHEARD = ISSUE | {"action": "assigned"}


@pytest.mark.parametrize(
    ("payload", "resource", "count"),
    [(ISSUE, "issue", 1), (METRIC, "metric_alert", 1), (EVENT, "event_alert", 1), (UNHEARD, "issue", 0)],
)
def test_a_replayed_hook_is_rejected_even_with_a_new_timestamp(
    running: RunningApp, watch: Watch, payload: Any, resource: str, count: int
) -> None:
    assert hook(running, watch, payload, resource=resource).status_code == 202
    for _ in range(3):
        again = hook(running, watch, payload, resource=resource)
        assert (again.status_code, again.headers["Content-Type"]) == (409, "application/problem+json")
        watch.forward(minutes=10)
    assert [alert["occurrences"] for alert in alerts(running)] == [1] * count


def test_of_concurrent_identical_hooks_one_is_accepted(database_url: str, watch: Watch) -> None:
    with RunningApp(create_app(settings(database_url), clock=watch)) as running, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: hook(running, watch, ISSUE).status_code, range(8)))
    assert sorted(answers) == [202] + [409] * 7


def test_a_hook_that_could_not_be_stored_is_accepted_when_it_is_sent_again(
    running: RunningApp, watch: Watch, sqlite_url: str
) -> None:
    with sqlite3.connect(f"{sqlite_url.removeprefix('sqlite:///')}.gateway") as database:
        database.execute("ALTER TABLE signals RENAME TO elsewhere")
        assert hook(running, watch, ISSUE).status_code >= 500
        database.execute("ALTER TABLE elsewhere RENAME TO signals")
    assert hook(running, watch, ISSUE).json() == {"accepted": 1, "duplicates": 0}


def test_a_hook_is_remembered_for_as_long_as_signals_are(step_with: Callable[..., SteppedGateway]) -> None:
    stepped = step_with(retention_days=30)
    storage, retention = stepped.gateway.storage, timedelta(days=30)

    def take(at: datetime) -> None:
        with storage.transaction() as connection:
            reject_replay("a-signature", at)(connection)

    take(stepped.watch.now)
    remove_old(storage, stepped.watch.now + retention, retention)
    with pytest.raises(ReplayedError):
        take(stepped.watch.now + retention)
    remove_old(storage, stepped.watch.now + retention + timedelta(seconds=1), retention)
    take(stepped.watch.now + retention)


def test_a_hook_about_an_event_that_monitoring_reported_is_not_a_replay(running: RunningApp, watch: Watch) -> None:
    reported = signal(at=watch.now, signal_id=uuid5(NAMESPACE_OID, EVENT["data"]["event"]["event_id"]).hex)  # type: ignore[index]
    assert running.post("/signals", {"signals": [reported.model_dump(mode="json")]}, token=TOKEN).status_code == 202
    assert hook(running, watch, EVENT, resource="event_alert").json() == {"accepted": 0, "duplicates": 1}


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b"\xff", b'{"data": {"issue": {}}, "action": "created"}'])
def test_a_signed_body_that_is_not_a_hook_is_rejected(running: RunningApp, watch: Watch, payload: bytes) -> None:
    assert hook(running, watch, payload).status_code == 422
    assert alerts(running) == []


@pytest.mark.parametrize("sent_at", [b"\xb2", b"9" * 5000, b"1_0", b"+1", b"", b"\xff"])
def test_a_timestamp_that_is_not_a_number_is_rejected(running: RunningApp, sent_at: bytes) -> None:
    signature = hmac.new(HOOK_SECRET.encode(), b"{}", hashlib.sha256).hexdigest().encode()
    headers = [(b"Sentry-Hook-Signature", signature), (b"Sentry-Hook-Timestamp", sent_at)]
    assert running.http.post("/webhooks/sentry", content=b"{}", headers=headers).status_code == 401


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"data": ' + b"9" * 5000 + b"}", b'{"data": "\xff"}'])
def test_a_signed_but_dangerous_body_is_rejected_with_the_reason(
    running: RunningApp, watch: Watch, payload: bytes
) -> None:
    answer = hook(running, watch, payload)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("body: ")


def issue(**changes: Any) -> dict[str, Any]:
    return {"action": "created", "data": {"issue": {**ISSUE["data"]["issue"], **changes}}}  # type: ignore[index]


def event(**changes: Any) -> dict[str, Any]:
    return {"action": "triggered", "data": {"event": {**EVENT["data"]["event"], **changes}}}  # type: ignore[index]


@pytest.mark.parametrize(
    ("payload", "resource", "field"),
    [
        ({"action": "created", "data": []}, "issue", "data"),
        (issue(id=None), "issue", "data.issue.id"),
        (event(event_id="x"), "event_alert", "data.event.event_id"),
        ({"action": "critical", "data": {"metric_alert": "x"}}, "metric_alert", "data.metric_alert"),
    ],
)
def test_a_hook_of_a_wrong_shape_is_rejected_with_its_field(
    running: RunningApp, watch: Watch, payload: Any, resource: str, field: str
) -> None:
    answer = hook(running, watch, payload, resource=resource)
    assert answer.status_code == 422
    assert f"not a {resource} hook: {field}" in answer.json()["detail"]
    assert 'gateway_rejected_total{field="shape",source="sentry"} 1.0' in running.get("/metrics").text


@pytest.mark.parametrize(
    ("payload", "resource"),
    [
        (issue(title="half \ud83d", web_url=None, level=None), "issue"),
        (issue(id=42, project={"slug": "p" * 100}), "issue"),
        (
            event(title=None, fingerprint=["\ud83d", "\0"], tags=[["service", "s" * 100], ["x\ud83d", None]]),
            "event_alert",
        ),
        (event(fingerprint=[str(number) for number in range(40)], tags=None), "event_alert"),
        (
            {"action": "critical", "data": {"metric_alert": {"id": 7, "projects": None}, "web_url": None}},
            "metric_alert",
        ),
    ],
)
def test_an_unusual_but_valid_hook_is_accepted(database_url: str, watch: Watch, payload: Any, resource: str) -> None:
    with RunningApp(create_app(settings(database_url), clock=watch)) as running:
        assert hook(running, watch, payload, resource=resource).json() == {"accepted": 1, "duplicates": 0}
        assert len(alerts(running)) == 1
        assert running.http.get("/dashboard/incidents").status_code == 200


def test_fingerprints_that_are_too_long_stay_different(running: RunningApp, watch: Watch) -> None:
    for number, last in enumerate(("a", "b")):
        parts = [*map(str, range(20)), last]
        hook(running, watch, event(event_id=f"{number:032x}", fingerprint=parts), resource="event_alert")
    assert len({tuple(each["fingerprint"]) for each in alerts(running)}) == 2


def test_a_body_past_the_limit_is_rejected_before_it_is_read_whole(running: RunningApp, watch: Watch) -> None:
    assert hook(running, watch, b" " * (MAX_BODY_BYTES + 1)).status_code == 413


@pytest.mark.parametrize("token", [None, "wrong", HOOK_SECRET])
@pytest.mark.parametrize("path", ["/signals", "/notify", "/webhooks/alertmanager"])
def test_the_other_inputs_require_the_gateways_token(running: RunningApp, path: str, token: str | None) -> None:
    assert running.post(path, {}, token=token).status_code == 401


TARGETS = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://user@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@sentry.test/",
    "//127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
]


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A listener that no one should reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        yield listener


def untouched(trap: socket.socket) -> bool:
    try:
        trap.accept()[0].close()
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize("target", TARGETS)
def test_an_address_in_a_hook_a_signal_or_a_notice_is_never_called(
    running: RunningApp, watch: Watch, trap: socket.socket, target: str
) -> None:
    url = target.format(port=trap.getsockname()[1])
    issue = {**ISSUE["data"]["issue"], "web_url": url, "title": url}  # type: ignore[index]
    assert hook(running, watch, {"action": "created", "data": {"issue": issue}}).status_code == 202
    alert = {
        "status": "firing",
        "labels": {"alertname": "x", "severity": "critical"},
        "annotations": {"summary": url},
        "startsAt": watch.now.isoformat(),
        "generatorURL": url,
    }
    payload = {"version": "4", "alerts": [alert], "externalURL": url, "receiver": url}
    assert running.post("/webhooks/alertmanager", payload, token=TOKEN).status_code == 202
    tags = {"url": url, "web_url": url, "registry_path": url, "source": url}
    signals = {"signals": [signal(at=watch.now, tags=tags, message=url).model_dump(mode="json")]}
    assert running.post("/signals", signals, token=TOKEN).status_code == 202
    assert running.post("/notify", {"title": "t", "text": url}, token=TOKEN).status_code == 202
    assert running.http.get("/dashboard/models").status_code == 200
    assert untouched(trap)


@pytest.mark.parametrize(
    "setting", ["weixin_base_url", "gateway_public_url", "registry_url", "prometheus_url", "smtp_url"]
)
@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://127.0.0.1/", "javascript:alert(1)", "//127.0.0.1"])
def test_a_setting_rejects_an_address_of_another_scheme(sqlite_url: str, setting: str, url: str) -> None:
    with pytest.raises(ValidationError):
        settings(sqlite_url, **{setting: url}, alert_email_to="a@example.test")


@pytest.mark.parametrize("target", [each for each in TARGETS if each.startswith("http")])
def test_a_redirect_of_a_called_service_is_not_followed(
    sqlite_url: str, watch: Watch, trap: socket.socket, target: str, until: Callable[..., float]
) -> None:
    from fastapi import FastAPI
    from starlette.responses import RedirectResponse

    elsewhere, asked = FastAPI(), []

    @elsewhere.api_route("/{path:path}", methods=["GET", "POST"])
    def redirect(path: str) -> RedirectResponse:
        asked.append(path)
        return RedirectResponse(target.format(port=trap.getsockname()[1]), 307)

    with RunningApp(elsewhere) as other:
        outside = {"registry_url": other.url, "prometheus_url": other.url}
        app = create_app(settings(sqlite_url, **app_of(other.url), **outside), clock=watch)
        with RunningApp(app) as running:
            running.post("/signals", {"signals": [signal(at=watch.now).model_dump(mode="json")]}, token=TOKEN)
            for tab in ("live", "models"):
                assert "没有应答" in running.http.get(f"/dashboard/{tab}").text
            until(lambda: {"cgi-bin/gettoken", "api/v1/query_range", "models/ranker"} <= set(asked))
            assert untouched(trap)


@pytest.mark.parametrize(
    "changes",
    [{"project": None}, {"project": "api"}, {"title": None}, {"level": 50}, {"web_url": 7}, {"title": ["x"]}],
)
def test_an_invalid_descriptive_field_does_not_lose_the_alert(
    running: RunningApp, watch: Watch, changes: dict[str, Any]
) -> None:
    issue = {**ISSUE["data"]["issue"], **changes}  # type: ignore[index]
    assert hook(running, watch, {"action": "created", "data": {"issue": issue}}).status_code == 202
    (alert,) = alerts(running)
    assert alert["fingerprint"] == ["sentry", "issue", "42"]


@pytest.mark.parametrize(
    ("changes", "tags"),
    [
        ({"tags": {"service": "api", "n": 5}}, {"service": "api", "n": "5"}),
        ({"tags": [["service", "api"], ["n", 5], ["odd"], 7]}, {"service": "api", "n": "5"}),
        ({"tags": [{"key": "service", "value": "api"}]}, {"service": "api"}),
        ({"tags": "service"}, {}),
        ({"event_id": "AAAAAAAA-AAAA-AAAA-AAAA-AAAAAAAAAAAA", "tags": None}, {}),
    ],
)
def test_tags_and_event_ids_are_read_in_every_form(
    running: RunningApp, watch: Watch, changes: dict[str, Any], tags: dict[str, str]
) -> None:
    event = {**EVENT["data"]["event"], **changes}  # type: ignore[dict-item]
    sent = hook(running, watch, {"action": "triggered", "data": {"event": event}}, resource="event_alert")
    assert sent.status_code == 202
    (alert,) = alerts(running)
    assert alert["tags"] == tags
    assert alert["event_id"] == event["event_id"].replace("-", "").lower()
