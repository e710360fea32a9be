"""A failure of email is reported by WeChat, never by email, and ends when an email arrives."""

from collections.abc import Callable
from email import message_from_string
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import monitoring.testing
from contracts.signals import AlertSignal
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import NewNotification
from notification_gateway.outbox.notice import Notice
from notification_gateway.tables import notifications, summary_entries
from running_gateway import MailServer, SteppedGateway, Wechat, app_of, mail_to, robot_of, signal

Make = Callable[..., SteppedGateway]
POINT = "gateway.email_failed"


def email_failed(**fields: Any) -> AlertSignal:
    """Return the signal that monitoring sends for a report of the point."""
    return signal(("gateway", "email_failed"), service="notification-gateway", **fields)


def put_email(stepped: SteppedGateway, key: str = "a") -> None:
    new = NewNotification(key, "notify", "email", Notice(title=key, reference=key), stepped.watch.now)
    with stepped.gateway.storage.transaction() as connection:
        outbox.enqueue(connection, new, stepped.watch.now)


def deliver(stepped: SteppedGateway, rounds: int = 1) -> None:
    for _ in range(rounds):
        stepped.deliver()
        stepped.watch.forward(seconds=10)


def states(stepped: SteppedGateway) -> list[tuple[str, str]]:
    return [(row["channel"], row["state"]) for row in stepped.rows(notifications)]


def test_a_server_that_does_not_answer_is_reported_with_every_tag(step_with: Make) -> None:
    # Nobody listens on the discard port.
    stepped = step_with(**mail_to(9))
    put_email(stepped)
    with monitoring.testing.captured() as captured:
        deliver(stepped, 4)
    assert captured.point_ids == [POINT]
    assert captured[0].tags["smtp_code"] == "none"


@pytest.mark.parametrize(
    ("refusals", "rounds", "shown"),
    [
        ({"MAIL": "550 never"}, 1, "SMTP answered 550"),
        ({"RCPT": "550 no such user"}, 1, "SMTP rejected every recipient (550)"),
        ({"DATA": "452 full"}, 4, "SMTP answered 452"),
    ],
)
def test_a_failed_email_is_reported_and_shown_until_one_arrives(
    mail: MailServer, step_with: Make, refusals: dict[str, str], rounds: int, shown: str
) -> None:
    stepped = step_with(**mail_to(mail.port))
    mail.refusals = refusals
    put_email(stepped)
    with monitoring.testing.captured() as captured:
        deliver(stepped, rounds)
        assert captured.point_ids == [POINT]
        assert captured[0].tags["smtp_code"] in shown
        assert stepped.health()["email"] == {"status": "degraded", "detail": shown}
        mail.refusals = {}
        put_email(stepped, "b")
        deliver(stepped)
    assert [report.point_id for report in captured.recovered] == [POINT]
    assert stepped.health()["email"]["status"] == "healthy"


def test_a_mail_server_that_is_gone_is_reported_after_the_fourth_try(step_with: Make) -> None:
    stepped = step_with(**mail_to(9))
    put_email(stepped)
    with monitoring.testing.captured() as captured:
        deliver(stepped, 3)
        assert captured.point_ids == []
        deliver(stepped)
    assert captured.point_ids == [POINT]


def test_rejected_recipients_are_named_and_the_others_get_the_email(mail: MailServer, step_with: Make) -> None:
    stepped = step_with(**(mail_to(mail.port) | {"alert_email_to": "a@example.test, b@example.test"}))
    mail.refusals = {"RCPT b@example.test": "550 no such user"}
    put_email(stepped)
    with monitoring.testing.captured() as captured:
        deliver(stepped)
    assert captured.point_ids == [POINT]
    assert (len(mail.mails), states(stepped)) == (1, [("email", "sent")])
    assert stepped.health()["email"]["detail"] == "SMTP rejected the recipients b@example.test (550)"


@pytest.mark.parametrize("policy", ["default", "defaults: {error: P1, warning: P2, info: none}\nrules: []\n"])
def test_a_failure_of_email_is_sent_at_once_by_wechat_and_not_in_an_email_summary(
    wechat: Wechat, step_with: Make, policy: str, tmp_path: Path
) -> None:
    more: dict[str, Any] = {}
    if policy != "default":
        more["alert_policy"] = tmp_path / "alerts.yaml"
        more["alert_policy"].write_text(policy)
    stepped = step_with(**robot_of(wechat.url), **mail_to(9), **more)
    stepped.fire(email_failed())
    deliver(stepped)
    assert states(stepped) == [("weixin", "sent")]
    assert "告警邮件发送失败" in wechat.contents[0]
    assert stepped.rows(summary_entries) == []


@pytest.mark.parametrize("storm", [0, 8])
def test_a_failure_of_email_does_not_fail_over_to_email(
    wechat: Wechat, mail: MailServer, step_with: Make, storm: int
) -> None:
    stepped = step_with(**app_of(wechat.url), **mail_to(mail.port))
    wechat.fault(operation="message/send", errcode=60011)
    stepped.fire(email_failed(), *(signal(("airflow", "a", str(number))) for number in range(storm)))
    deliver(stepped, 6)
    assert not any("gateway.email_failed" in each for each in mail_texts(mail))
    failed = [row for row in stepped.rows(notifications) if row["notice"]["not_through"]]
    assert [(row["channel"], row["state"]) for row in failed] == [("weixin", "failed")]
    assert len(mail.mails) == (1 if storm else 0)


def test_the_escalation_of_an_email_failure_does_not_go_by_email(
    wechat: Wechat, mail: MailServer, step_with: Make, tmp_path: Path
) -> None:
    policy = tmp_path / "alerts.yaml"
    policy.write_text(
        "defaults: {error: P0, warning: P2, info: none}\n"
        "escalation: {after_minutes: 5, channels: [email, weixin]}\nrules: []\n"
    )
    stepped = step_with(**robot_of(wechat.url), **mail_to(mail.port), alert_policy=policy)
    stepped.fire(email_failed())
    stepped.pass_time(minutes=6)
    deliver(stepped)
    assert {channel for channel, _ in states(stepped)} == {"weixin"}
    assert mail.mails == []


def test_a_gateway_without_email_reports_no_failed_email(step_with: Make) -> None:
    stepped = step_with(smtp_url=None)
    put_email(stepped)
    with monitoring.testing.captured() as captured:
        deliver(stepped, 5)
    assert captured.point_ids == []


def test_no_password_of_the_mail_server_is_reported(mail: MailServer, step_with: Make) -> None:
    url = SecretStr(f"smtp://me:hush-hush@127.0.0.1:{mail.port}")
    stepped = step_with(smtp_url=url, alert_email_to="a@example.test")
    put_email(stepped)
    with monitoring.testing.captured() as captured:
        deliver(stepped, 4)
    assert captured.point_ids == [POINT]
    assert "hush-hush" not in repr([(each.message, each.tags, each.context) for each in captured])


def mail_texts(mail: MailServer) -> list[str]:
    """The readable text of each mail."""
    found = []
    for each in mail.mails:
        part = message_from_string(each, policy=default).get_body(("plain",))
        found.append(part.get_content() if part is not None else "")
    return found
