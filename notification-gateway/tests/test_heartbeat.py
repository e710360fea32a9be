"""The dead man's switch: HEARTBEAT_URL is called while alerts get through, and /health says why it isn't."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import update

import monitoring.testing
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import NewNotification
from notification_gateway.outbox.notice import Notice
from notification_gateway.tables import heartbeats, incidents, notifications
from running_gateway import Receiver, SteppedGateway, Wechat, app_of, robot_of, signal

Make = Callable[..., SteppedGateway]
PATH = "/ping/0123-secret-4567?status=up"


def beating(step_with: Make, receiver: Receiver, **more: object) -> SteppedGateway:
    return step_with(heartbeat_url=SecretStr(receiver.url + PATH), **more)


def outcomes(stepped: SteppedGateway) -> dict[str, float]:
    samples = [each for metric in stepped.gateway.metrics.heartbeats.collect() for each in metric.samples]
    return {each.labels["outcome"]: each.value for each in samples if each.name.endswith("_total")}


def test_the_whole_heartbeat_url_is_called(receiver: Receiver, step_with: Make) -> None:
    stepped = beating(step_with, receiver)
    stepped.beat()
    assert receiver.calls == [("GET", PATH, b"")]
    assert stepped.health()["heartbeat"] == {"status": "healthy", "detail": "called at 2026-01-05T12:00:30+00:00"}
    assert outcomes(stepped) == {"sent": 1, "failed": 0, "withheld": 0}


def test_health_says_when_no_heartbeat_url_is_set(step_with: Make) -> None:
    stepped = step_with()
    stepped.beat()
    assert stepped.health()["heartbeat"] == {"status": "healthy", "detail": "not configured"}


@pytest.mark.parametrize("failover", [False, True])
def test_a_p0_that_is_undelivered_for_two_minutes_stops_the_heartbeat(
    receiver: Receiver, wechat: Wechat, step_with: Make, failover: bool
) -> None:
    stepped = beating(step_with, receiver, **app_of(wechat.url))
    wechat.fault(operation="message/send", errcode=60011 if failover else -1)
    stepped.fire(signal())
    for _ in range(12):
        stepped.deliver()
        stepped.watch.forward(seconds=9)
    stepped.beat()
    assert len(receiver.calls) == 1
    stepped.watch.forward(seconds=20)
    stepped.beat()
    assert len(receiver.calls) == 1
    assert stepped.health()["heartbeat"] == {
        "status": "degraded",
        "detail": "not called: 1 P0 undelivered for more than 2 minutes",
    }
    assert outcomes(stepped)["withheld"] == 1


def test_the_heartbeat_continues_after_the_p0_is_delivered(receiver: Receiver, wechat: Wechat, step_with: Make) -> None:
    stepped = beating(step_with, receiver, **robot_of(wechat.url))
    stepped.fire(signal())
    stepped.watch.forward(minutes=3)
    stepped.beat()
    assert receiver.calls == []
    stepped.deliver()
    stepped.beat()
    assert len(receiver.calls) == 1
    assert stepped.health()["heartbeat"]["status"] == "healthy"


@pytest.mark.parametrize(
    "change",
    [
        {"acknowledged_at": None, "acknowledged_by": "me"},
        {"state": "resolved"},
        {"priority": "P1"},
        {"environment": "verify"},
    ],
)
def test_incidents_that_need_no_action_do_not_stop_the_heartbeat(
    receiver: Receiver, step_with: Make, change: dict[str, object]
) -> None:
    stepped = beating(step_with, receiver)
    stepped.fire(signal())
    stepped.deliver()
    if "acknowledged_at" in change:
        change = change | {"acknowledged_at": stepped.watch.now}
    with stepped.gateway.storage.transaction() as connection:
        connection.execute(update(incidents).values(**change))
    stepped.watch.forward(minutes=3)
    stepped.beat()
    assert len(receiver.calls) == 1


def test_a_message_deferred_by_quiet_hours_does_not_stop_the_heartbeat(receiver: Receiver, step_with: Make) -> None:
    stepped = beating(step_with, receiver)
    stepped.fire(signal())
    morning = stepped.watch.now + timedelta(hours=8)
    with stepped.gateway.storage.transaction() as connection:
        connection.execute(update(notifications).values(next_attempt_at=morning))
    stepped.watch.forward(hours=8, minutes=1)
    stepped.beat()
    assert len(receiver.calls) == 1
    stepped.watch.forward(minutes=2)
    stepped.beat()
    assert len(receiver.calls) == 1


def test_an_undelivered_message_below_p0_does_not_stop_the_heartbeat(receiver: Receiver, step_with: Make) -> None:
    stepped = beating(step_with, receiver)
    new = NewNotification("a", "notify", "weixin", Notice(title="a", reference="a"), stepped.watch.now)
    with stepped.gateway.storage.transaction() as connection:
        outbox.enqueue(connection, new, stepped.watch.now)
    stepped.watch.forward(minutes=5)
    stepped.beat()
    assert len(receiver.calls) == 1


def test_a_read_only_database_stops_the_heartbeat(receiver: Receiver, step_with: Make) -> None:
    stepped = beating(step_with, receiver)
    with stepped.gateway.storage.transaction() as connection:
        heartbeats.drop(connection)
    stepped.beat()
    assert receiver.calls == []
    detail = stepped.health()["heartbeat"]["detail"]
    assert detail == "not called: the database takes no writes (OperationalError)"


def test_a_failing_or_hanging_loop_stops_the_heartbeat(receiver: Receiver, step_with: Make) -> None:
    stepped = beating(step_with, receiver)
    state = stepped.gateway.loops.states()[0]
    state.consecutive_failures, state.last_error, state.failing_since = 3, "ValueError", 0.0
    stepped.beat()
    assert "policy has failed 3 times" in stepped.health()["heartbeat"]["detail"]
    state.consecutive_failures, state.started_at = 0, -1e9
    stepped.beat()
    assert stepped.health()["heartbeat"]["detail"] == "not called: policy hangs"
    state.last_success = 0.0
    stepped.beat()
    assert len(receiver.calls) == 1


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((500, {}, b""), "answered HTTP 500"),
        ((302, {"Location": "/elsewhere"}, b""), "answered HTTP 302, and redirects are not followed"),
    ],
)
def test_a_failed_heartbeat_is_logged_and_counted_but_sends_no_alert(
    receiver: Receiver,
    step_with: Make,
    caplog: pytest.LogCaptureFixture,
    answer: tuple[int, dict[str, str], bytes],
    problem: str,
) -> None:
    stepped = beating(step_with, receiver)
    receiver.answer = answer
    with monitoring.testing.captured() as captured, caplog.at_level(logging.WARNING):
        stepped.beat()
    assert len(receiver.calls) == 1
    assert captured == []
    assert problem in caplog.text
    assert "secret" not in caplog.text
    assert stepped.health()["heartbeat"] == {"status": "degraded", "detail": problem}
    assert outcomes(stepped) == {"sent": 0, "failed": 1, "withheld": 0}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/0123-secret", "http://169.254.169.254/0123-secret"])
def test_a_heartbeat_url_that_fails_or_is_forbidden_is_not_logged(
    step_with: Make, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    stepped = step_with(heartbeat_url=SecretStr(url))
    stepped.beat()
    assert "secret" not in caplog.text + stepped.health()["heartbeat"]["detail"]
    assert stepped.health()["heartbeat"]["status"] == "degraded"
