"""Email over a real SMTP server."""

import asyncio
from email import message_from_string, policy

import pytest

from notification_gateway.delivery.channel import Delivered, Outcome, Rejected
from notification_gateway.email.channel import EmailChannel
from notification_gateway.email.server import SmtpServer
from notification_gateway.outbox.notice import Line, Notice
from running_gateway import MailServer

NOTICE = Notice(
    title="【每小时告警汇总 Hourly】2 个事件",
    lines=(
        Line(label="事件 Event", value="http://collector.test/1", url="http://collector.test/1"),
        Line(label="x", value="<script>alert(1)</script>"),
    ),
    paragraphs=("P1 · redis & co",),
    reference="#7",
)


def send(port: int, notice: Notice = NOTICE, key: str = "k", **server: object) -> Outcome:
    there = SmtpServer(**({"scheme": "smtp", "host": "127.0.0.1", "port": port} | server))  # type: ignore[arg-type]
    channel = EmailChannel(there, "alerts@example.test", ["a@example.test", "b@example.test"])
    return asyncio.run(channel.send(notice, key))


def test_a_notice_arrives_as_text_and_html(mail: MailServer) -> None:
    assert send(mail.port) == Delivered()
    message = message_from_string(mail.mails[0], policy=policy.default)
    assert message["Subject"] == NOTICE.title
    assert message["To"] == "a@example.test, b@example.test"
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "P1 · redis & co" in text.get_content()
    assert '<a href="http://collector.test/1" ' in html.get_content()
    assert "&lt;script&gt;" in html.get_content()
    assert "<script>" not in html.get_content()


def test_a_second_try_has_the_same_message_id_and_another_notification_has_not(mail: MailServer) -> None:
    for key in ("one", "one", "other"):
        send(mail.port, key=key)
    ids = [message_from_string(each)["Message-ID"] for each in mail.mails]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("verb", "answer", "retryable"),
    [
        ("MAIL", "451 try later", True),
        ("MAIL", "550 never", False),
        ("RCPT", "450 mailbox busy", True),
        ("RCPT", "550 no such user", False),
        ("DATA", "452 full", True),
        ("DATA", "554 refused", False),
        ("EHLO", "421 going down", True),
    ],
)
def test_a_temporary_rejection_is_retryable_and_a_permanent_one_is_not(
    mail: MailServer, verb: str, answer: str, retryable: bool
) -> None:
    mail.refusals = {verb: answer, "HELO": answer}
    outcome = send(mail.port)
    assert isinstance(outcome, Rejected)
    assert outcome.retryable is retryable
    assert mail.mails == []


def test_a_refused_connection_is_retryable() -> None:
    outcome = send(9)
    assert isinstance(outcome, Rejected)
    assert outcome.retryable


def test_a_password_is_not_sent_in_the_clear(mail: MailServer) -> None:
    server = SmtpServer.of(f"smtp://user:p%40ss@mail.test:{mail.port}")
    assert (server.user, server.password) == ("user", "p@ss")
    # Another name of loopback, which doesn't look like it.
    outcome = send(mail.port, host="127.1", user="user", password="p@ss")
    assert isinstance(outcome, Rejected)
    assert "no TLS" in outcome.reason
    assert "p@ss" not in repr(server) + outcome.reason


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.test", ("smtp", "mail.test", 25, "")),
        ("smtps://u:p@mail.test", ("smtps", "mail.test", 465, "u")),
        ("smtp://mail.test:587", ("smtp", "mail.test", 587, "")),
    ],
)
def test_an_smtp_url_is_parsed(url: str, expected: tuple[str, str, int, str]) -> None:
    server = SmtpServer.of(url)
    assert (server.scheme, server.host, server.port, server.user) == expected
