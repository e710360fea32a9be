"""Rows of an older or later release break no page, list, delivery or evaluation of signals."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from monitoring.testing import captured
from notification_gateway.app import create_app
from notification_gateway.dashboard.run_counts import RunCounts, count_runs
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import NewNotification
from notification_gateway.outbox.notice import Notice
from notification_gateway.silences import queries as silences
from notification_gateway.silences.model import Matcher
from notification_gateway.storage import Storage, UnstorableError
from notification_gateway.tables import notifications, signals
from notification_gateway.unreadable import POINT
from running_gateway import ADMIN, SteppedGateway, Watch, mail_to, settings, signal
from testkit.running_app import RunningApp

PAGES = (
    "/alerts",
    "/dashboard",
    *(f"/dashboard/{tab}" for tab in ("live", "data", "incidents", "silences", "digests")),
)
HALF = {"service": "x\ud83d", "fingerprint": ["x\ud83d", "\0", "*"]}


@pytest.fixture
def storage(database_url: str, watch: Watch) -> Iterator[Storage]:
    storage = Storage(database_url)
    storage.migrate()
    yield storage
    storage.close()


@pytest.fixture
def running(database_url: str, watch: Watch) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(database_url), clock=watch)) as running:
        yield running


def overwrite(storage: Storage, table: str, column: str, value: Any) -> None:
    """Store a value that this release wouldn't store, bypassing its types; JSON with ASCII escapes."""
    with storage.transaction() as connection:
        schema = "" if connection.dialect.name == "sqlite" else "gateway."
        cast = ":value" if connection.dialect.name == "sqlite" or isinstance(value, str) else "CAST(:value AS json)"
        stored = value if isinstance(value, str) else json.dumps(value)
        connection.execute(text(f"UPDATE {schema}{table} SET {column} = {cast}"), {"value": stored})


def silence(storage: Storage, watch: Watch) -> int:
    with storage.transaction() as connection:
        return silences.add_silence(
            connection,
            Matcher(service="x"),
            watch.now,
            watch.now + timedelta(minutes=10),
            reason="planned",
            created_by="a test",
            now=watch.now,
        ).id


def get_silences(running: RunningApp) -> list[dict[str, Any]]:
    answer = running.http.get("/silences", headers={"Authorization": f"Bearer {ADMIN}"})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["silences"]
    return found


def test_a_silence_with_half_a_surrogate_is_shown_escaped_and_can_be_ended(
    storage: Storage, watch: Watch, running: RunningApp
) -> None:
    silence_id = silence(storage, watch)
    overwrite(storage, "silences", "matcher", HALF)
    (found,) = get_silences(running)
    assert found["matcher"]["fingerprint"] == ["x\\ud83d", "\\u0000", "*"]
    assert "x\\ud83d" in running.http.get("/dashboard/silences").text
    ended = running.http.delete(f"/silences/{silence_id}", headers={"Authorization": f"Bearer {ADMIN}"})
    assert (ended.status_code, get_silences(running)) == (204, [])


@pytest.mark.parametrize(
    "matcher",
    [{"service": "x", "later": 1}, {"fingerprint": ["**", "x"]}, {"service": "", "environment": "test"}, [], 7],
)
def test_a_silence_that_cannot_be_read_silences_nothing_is_reported_and_can_be_ended(
    storage: Storage, watch: Watch, running: RunningApp, matcher: Any
) -> None:
    silence_id = silence(storage, watch)
    overwrite(storage, "silences", "matcher", matcher)
    with captured() as reports:
        assert get_silences(running) == []
        assert running.http.get("/dashboard/silences").status_code == 200
        with storage.read() as connection:
            assert silences.active(connection, watch.now).find_covering(signal(), watch.now) is None
    assert {each.fingerprint for each in reports.of(POINT)} == {("gateway", "unreadable_alert", "stored silences")}
    assert f"row {silence_id} of the table silences" in reports[0].message
    ended = running.http.delete(f"/silences/{silence_id}", headers={"Authorization": f"Bearer {ADMIN}"})
    assert ended.status_code == 204


@pytest.mark.parametrize("matcher", [{"service": "x\ud83d"}, {"fingerprint": ["\0"]}, {"fingerprint": ["**", "x"]}, {}])
def test_a_silence_that_could_not_be_read_again_is_rejected(running: RunningApp, matcher: dict[str, Any]) -> None:
    body = {"matcher": matcher, "minutes": 5, "reason": "r", "created_by": "me"}
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    answer = running.http.post("/silences", content=json.dumps(body).encode(), headers=headers)
    assert answer.status_code == 422
    assert "matcher" in answer.json()["detail"]
    assert get_silences(running) == []


@pytest.mark.parametrize(
    "starts_at", ["9999-12-31T23:59:59-14:00", "9999-12-31T00:00:00Z", "0001-01-01T00:00:00+14:00"]
)
def test_a_silence_begins_within_a_year(running: RunningApp, watch: Watch, starts_at: str) -> None:
    body = {"matcher": {"service": "x"}, "minutes": 5, "reason": "r", "created_by": "me", "starts_at": starts_at}
    assert running.post("/silences", body, token=ADMIN).status_code == 422
    for days, status in ((365, 201), (366, 422)):
        later = (watch.now + timedelta(days=days)).isoformat()
        assert running.post("/silences", body | {"starts_at": later}, token=ADMIN).status_code == status


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("incidents", "fingerprint", ["\ud83d", 7, None]),
        ("incidents", "fingerprint", {"a": 1}),
        ("incidents", "tags", ["\ud83d"]),
        ("incidents", "tags", {"\ud83d": {"a": "\0"}}),
        ("incidents", "request_ids", "x"),
        ("incidents", "event_id", "no event id"),
        ("incidents", "state", "abandoned"),
        ("incidents", "level", "loud"),
        ("signals", "body", {"\ud83d": 1}),
        ("notifications", "notice", {"title": "\ud83d\0", "reference": "#1"}),
        ("notifications", "notice", {"later": 1}),
        ("notifications", "notice", []),
        ("notifications", "state", "postponed"),
        ("occurrence_minutes", "fingerprint", 7),
    ],
)
def test_an_invalid_row_breaks_no_page(
    database_url: str, storage: Storage, watch: Watch, table: str, column: str, value: Any
) -> None:
    stepped = SteppedGateway(settings(database_url), watch)
    stepped.fire(signal(category="data_quality"))
    json_text = isinstance(value, str) and column == "request_ids"
    overwrite(storage, table, column, json.dumps(value) if json_text else value)
    with captured(), RunningApp(create_app(settings(database_url), clock=watch)) as running:
        for page in PAGES:
            assert running.http.get(page).status_code == 200, page
        # And what comes next is judged.
        assert stepped.fire(signal(at=watch.now, category="data_quality")) == (1, 0)
        stepped.pass_time(minutes=20)
    stepped.close()


@pytest.mark.parametrize(
    "body",
    [[1], {"tags": ["a"]}, {"tags": "text"}, {"tags": {"dag_id": "recommendation_pipeline", "run_id": ["a"]}}],
)
def test_an_alert_of_airflow_that_cannot_be_read_is_no_training(
    step_with: Callable[..., SteppedGateway], body: Any
) -> None:
    stepped = step_with()
    stepped.fire(signal(("airflow", "train"), monitoring_point="airflow.task_failed"))
    overwrite(stepped.gateway.storage, "signals", "body", body)
    with stepped.gateway.storage.read() as connection:
        assert count_runs(connection, stepped.watch.now - timedelta(days=1)) == RunCounts(0, 0)


def test_sqlite_may_hold_no_json_at_all(sqlite_url: str, watch: Watch) -> None:
    storage = Storage(sqlite_url)
    storage.migrate()
    silence(storage, watch)
    overwrite(storage, "silences", "matcher", "{not json")
    with captured() as reports, storage.read() as connection:
        assert silences.list_unexpired(connection, watch.now) == []
    assert len(reports) == 1
    storage.close()


def test_an_unreadable_message_is_given_up_and_blocks_no_other(
    step_with: Callable[..., SteppedGateway], mail: Any
) -> None:
    stepped = step_with(**mail_to(mail.port))
    storage, now = stepped.gateway.storage, stepped.watch.now
    for number in range(8):
        with storage.transaction() as connection:
            notice = Notice(title=f"n{number}", reference=f"#{number}")
            outbox.enqueue(connection, NewNotification(f"k{number}", "notify", "email", notice, due=now), now)
        if number == 0:
            overwrite(storage, "notifications", "notice", {"later": 1})
    with captured() as reports:
        while stepped.deliver():
            pass
    assert [row["state"] for row in stepped.rows(notifications)] == ["failed"] + ["sent"] * 7
    assert reports.point_ids == ["api.background_failed"]


def test_a_message_with_half_a_surrogate_goes_out_escaped(step_with: Callable[..., SteppedGateway], mail: Any) -> None:
    stepped = step_with(**mail_to(mail.port))
    now = stepped.watch.now
    with stepped.gateway.storage.transaction() as connection:
        notice = Notice(title="n", reference="#1")
        outbox.enqueue(connection, NewNotification("k", "notify", "email", notice, due=now), now)
    overwrite(stepped.gateway.storage, "notifications", "notice", {"title": "half \ud83d", "reference": "#1"})
    assert stepped.deliver() == 1
    assert "half \\ud83d" in mail.mails[0]


def test_values_that_cannot_be_stored_are_distinguished_from_a_failing_database(storage: Storage) -> None:
    with pytest.raises(UnstorableError), storage.read() as connection:
        connection.execute(signals.select().where(signals.c.signal_id == "x\ud83d")).all()
