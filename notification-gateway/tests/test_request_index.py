"""The index of degraded and failed requests: one is found by its id, on its page and by `alertctl`."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from contracts.command_line import OK, USAGE
from contracts.request_records import FiredPoint, RequestRecord
from notification_gateway.app import create_app
from notification_gateway.cli import main
from notification_gateway.request_index.queries import (
    INDEX_RETENTION,
    find_requests,
    remove_old_requests,
    store_requests,
)
from notification_gateway.tables import requests
from running_gateway import ADMIN, TOKEN, SteppedGateway, Watch, settings, signal
from testkit.running_app import RunningApp

AT = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)


def record(request_id: str, at: datetime = AT, **fields: Any) -> RequestRecord:
    return RequestRecord.model_validate(
        {
            "request_id": request_id,
            "at": at,
            "service": "recommender-api",
            "environment": "test",
            "endpoint": "/similar/{dataset_id}",
            "status": 200,
            "level": 1,
            "reason": "redis_unavailable",
            "model_version": "12",
            "duration_ms": 4.5,
            "items": 10,
            "points": [
                FiredPoint(monitoring_point="redis.connection_failed", fingerprint=["redis", "connection_failed"])
            ],
        }
        | fields
    )


@pytest.fixture
def running(database_url: str, watch: Watch) -> Iterator[RunningApp]:
    configured = settings(database_url, weixin_robot_key="k")
    with RunningApp(create_app(configured, clock=watch)) as running:
        yield running


def post(running: RunningApp, *records: RequestRecord | dict[str, Any], left_out: int = 0) -> dict[str, int]:
    batch = [each if isinstance(each, dict) else each.model_dump(mode="json") for each in records]
    body = {"service": "recommender-api", "requests": batch, "left_out": left_out}
    answer = running.post("/requests", body, token=TOKEN)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def page(running: RunningApp, request_id: str) -> str:
    shown = running.http.get(f"/dashboard/request/{request_id}", params={"lang": "en"})
    assert shown.status_code == 200
    return str(shown.text)


def sign_in(running: RunningApp) -> None:
    signed = running.http.post("/dashboard/session", data={"token": ADMIN, "back": "request/req_1"})
    assert signed.headers["Location"] == "/dashboard/request/req_1"


def test_a_request_is_found_with_the_incident_of_what_it_reported(
    running: RunningApp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fired = signal(("redis", "connection_failed"), at=AT, service="recommender-api", event_id="0" * 32)
    other = signal(("redis", "connection_failed"), at=AT, service="feature-sync")
    signals = [each.model_dump(mode="json") for each in (fired, other)]
    assert running.post("/signals", {"signals": signals}, token=TOKEN).status_code == 202
    assert post(running, record("req_1"), record("req_2", level=None, status=503, points=[])) == {
        "accepted": 2, "rejected": 0
    }  # fmt: skip
    assert "Sign in below" in page(running, "req_1")
    assert "redis_unavailable" not in page(running, "req_1")
    sign_in(running)
    shown = page(running, "req_1")
    for part in (
        "/similar/{dataset_id}",
        "redis_unavailable",
        "4.5 ms",
        '<a href="/dashboard/incident/1">#1 redis.connection_failed</a>',
        "http://collector.test/issues/event/",
        "http://collector.test/issues/?query=request_id:req_1",
        "&#34;request_id&#34;: &#34;req_1&#34;",
    ):
        assert part in shown
    assert "/dashboard/incident/2" not in shown
    monkeypatch.setenv("GATEWAY_URL", running.url)
    monkeypatch.setenv("ADMIN_TOKEN", ADMIN)
    capsys.readouterr()
    assert main(["request", "req_1"]) == OK
    text = capsys.readouterr().out
    assert text.startswith("2026-01-05 12:00:30 UTC  recommender-api (test)  /similar/{dataset_id}  200  4.5 ms\n")
    assert "incidents: #1\n" in text
    assert main(["request", "req_2", "--json"]) == OK
    (found,) = json.loads(capsys.readouterr().out)["requests"]
    assert (found["status"], found["level"], found["incident_ids"]) == (503, None, [])
    assert main(["request", "req_3"]) == USAGE
    assert "No request req_3 was degraded or failed within 7 days." in capsys.readouterr().err
    assert main(["request", "no id"]) == USAGE


def test_the_incident_of_a_message_leads_to_its_requests(running: RunningApp) -> None:
    fired = signal(("redis", "connection_failed"), at=AT, request_ids=["req_1"])
    assert running.post("/signals", {"signals": [fired.model_dump(mode="json")]}, token=TOKEN).status_code == 202
    assert '<a href="/dashboard/request/req_1">' in running.http.get("/dashboard/incident/1").text


def test_a_batch_that_is_sent_twice_is_stored_once_and_an_id_that_is_used_again_twice(running: RunningApp) -> None:
    sign_in(running)
    for _ in range(2):
        post(running, record("req_1"), record("req_1", AT - timedelta(seconds=1)), record("req_1", service="registry"))
    assert page(running, "req_1").count("redis_unavailable</dd>") == 3


def test_records_that_cannot_be_read_are_counted_and_the_others_are_stored(running: RunningApp) -> None:
    sign_in(running)
    unreadable: list[dict[str, Any]] = [
        {},
        record("req_2").model_dump(mode="json") | {"request_id": "no id"},
        record("req_2").model_dump(mode="json") | {"duration_ms": -1},
        record("req_2").model_dump(mode="json") | {"items": 2**31},
        record("req_2").model_dump(mode="json") | {"at": "0001-01-01T00:00:00+23:59"},
    ]
    known = record("req_1").model_dump(mode="json") | {"of_a_later_release": 1}
    assert post(running, *unreadable, known, left_out=5) == {"accepted": 1, "rejected": 5}
    assert "redis_unavailable" in page(running, "req_1")
    assert "10 requests were left out of the index" in page(running, "req_2")
    exposition = running.http.get("/metrics").text
    assert 'gateway_requests_total{outcome="left_out"} 5.0' in exposition
    assert 'gateway_requests_total{outcome="rejected"} 5.0' in exposition


def test_a_request_of_a_clock_that_is_ahead_is_one_of_now(running: RunningApp, watch: Watch) -> None:
    sign_in(running)
    ahead = record("req_1").model_dump(mode="json") | {"at": "9999-12-31T23:59:59-23:59"}
    assert post(running, ahead) == {"accepted": 1, "rejected": 0}
    assert "(0 s ago)" in page(running, "req_1")


def test_text_of_others_is_escaped_on_the_page(running: RunningApp) -> None:
    sign_in(running)
    post(running, record("req_1", reason="<script>alert(1)</script>", endpoint="<img src=x>"))
    assert "<script>alert" not in page(running, "req_1")
    assert "<img src=x>" not in page(running, "req_1")


def test_twenty_thousand_requests_of_a_minute_are_all_found(running: RunningApp) -> None:
    ids = [f"req_{number}" for number in range(20_000)]
    for first in range(0, len(ids), 1000):
        post(running, *(record(each, AT + timedelta(milliseconds=first)) for each in ids[first : first + 1000]))
    headers = {"Authorization": f"Bearer {ADMIN}"}
    for each in ids[::997]:
        found = running.http.get(f"/requests/{each}", headers=headers).json()["requests"]
        assert [one["request_id"] for one in found] == [each]


def test_old_requests_go_and_the_oldest_past_the_bound(stepped: SteppedGateway) -> None:
    storage = stepped.gateway.storage
    now = stepped.watch()
    old = [record(f"old_{number}", now - INDEX_RETENTION - timedelta(seconds=1)) for number in range(6000)]
    new = [record(f"new_{number}", now - timedelta(seconds=number)) for number in range(20)]
    with storage.transaction() as connection:
        store_requests(connection, [*old, *new])
    remove_old_requests(storage, now, most=15)
    with storage.read() as connection:
        assert connection.scalar(select(func.count()).select_from(requests)) == 15
        assert [bool(find_requests(connection, each.request_id)) for each in new] == [False] * 5 + [True] * 15


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("wrong", 401), (ADMIN, 403)])
def test_only_our_own_services_add_to_the_index(running: RunningApp, token: str | None, status: int) -> None:
    body = {"service": "recommender-api", "requests": []}
    assert running.post("/requests", body, token=token).status_code == status


@pytest.mark.parametrize(("token", "status"), [("", 401), ("wrong", 401), (TOKEN, 403)])
def test_only_the_admin_token_reads_it(running: RunningApp, token: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    assert running.http.get("/requests/req_1", headers=headers).status_code == status
