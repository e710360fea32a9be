"""The content of messages: what broke, since when, how often, where, what to do first, and links."""

from collections.abc import Callable
from email import message_from_string, policy

import pytest

from monitoring import catalogue
from notification_gateway.incidents.model import History, Incident
from notification_gateway.messages.forms import card, cut_bytes, html, plain
from notification_gateway.outbox.notice import Notice
from notification_gateway.policy.evaluation import Decision
from notification_gateway.tables import digests, notifications
from notification_gateway.weixin.channel import TEXT_BYTES
from running_gateway import MailServer, SteppedGateway, mail_to, signal

Make = Callable[..., SteppedGateway]
EVENT = "0123456789abcdef0123456789abcdef"


def notices(stepped: SteppedGateway) -> list[Notice]:
    return [Notice.model_validate(row["notice"]) for row in stepped.rows(notifications)]


@pytest.mark.parametrize(
    ("language", "title", "labels"),
    [
        ("zh", "【P0 告警】模型部署失败 model.deployment_failed", ["服务", "现象", "开始", "次数", "先做", "我来处理"]),
        (
            "en",
            "【P0 Alert】model.deployment_failed",
            ["Service", "What", "Since", "Times", "Do first", "Acknowledge"],
        ),
        (
            "both",
            "【P0 告警 Alert】模型部署失败 model.deployment_failed",
            ["服务 Service", "现象 What", "开始 Since", "次数 Times", "先做 Do first", "我来处理 Acknowledge"],
        ),
    ],
)
def test_an_alert_has_all_fields_in_the_configured_language(
    step_with: Make, language: str, title: str, labels: list[str]
) -> None:
    stepped = step_with(alert_language=language)
    stepped.fire(signal(event_id=EVENT, request_ids=["req_1"], occurrences=3))
    (notice,) = notices(stepped)
    assert notice.title == title
    assert [line.label for line in notice.lines][: len(labels)] == labels
    text = plain(notice)
    for part in ("model-registry", "it broke", "2026-01-05 20:00:30 CST", "3", "req_1", "Critical Failures"):
        assert part in text
    assert f"http://collector.test/issues/event/{EVENT[:8]}-" in text
    assert "/runbook/model.deployment_failed" in text
    assert "http://127.0.0.1:8003/acknowledge/1?until=" in notice.url


@pytest.mark.parametrize("point", [point.id for point in catalogue.load_all()])
def test_the_longest_message_still_leads_to_the_acknowledgement_and_the_runbook(step_with: Make, point: str) -> None:
    stepped = step_with(gateway_public_url="https://alerts.recommendations.example.com")
    fired = signal(("airflow", "a", "b"), monitoring_point=point, message="断" * 500, event_id=EVENT)
    incident = Incident.open_from(fired, Decision("P0", "a rule", (), ""), stepped.watch.now)
    notice = stepped.gateway.composer.compose_opened(incident, History(3, 1_000_000), [], stepped.watch.now)
    text = cut_bytes(plain(notice), TEXT_BYTES)
    assert "/acknowledge/0?until=" in text
    assert f"https://alerts.recommendations.example.com/runbook/{point}\n" in text


def test_the_message_of_a_returning_fault_says_how_often_it_occurred(stepped: SteppedGateway) -> None:
    for _ in range(3):
        stepped.fire(signal(at=stepped.watch.now, occurrences=4))
        stepped.watch.forward(minutes=1)
        stepped.fire(signal(at=stepped.watch.now, kind="recovered"))
        stepped.watch.forward(minutes=5)
    times = [line.value for notice in notices(stepped) for line in notice.lines if line.label == "次数 Times"]
    assert "incident 3 in 24 h, 12 times in all" in times[-2]


def test_a_card_holds_what_wechat_takes_and_leads_to_the_acknowledgement(stepped: SteppedGateway) -> None:
    stepped.fire(signal(message="长" * 2000))
    made = card(notices(stepped)[0])
    assert made is not None
    assert len(made.title.encode()) <= 128
    assert len(made.description.encode()) <= 512
    assert "/acknowledge/1?" in made.url
    assert "http" not in made.description


def test_a_summary_shows_when_it_happened_as_text_and_in_html(step_with: Make, mail: MailServer) -> None:
    stepped = step_with(**mail_to(mail.port))
    for minutes, times in ((5, 1), (25, 8)):
        stepped.pass_time(minutes=minutes)
        stepped.fire(signal(("redis", "connection_failed"), stepped.watch.now, level="warning", occurrences=times))
    stepped.pass_time(minutes=40)
    stepped.deliver()
    (digest,) = stepped.rows(digests)
    chart = Notice.model_validate(digest["notice"]).chart
    assert chart is not None
    assert (len(chart.values), chart.values[2], chart.values[12], sum(chart.values)) == (24, 1, 8, 9)
    assert chart.labels == ("20:00", "21:00")
    message = message_from_string(mail.mails[0], policy=policy.default)
    text, page = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert page is not None
    assert "20:00 ··▁·········█··········· 21:00" in text.get_content()
    assert page.get_content().count("vertical-align:bottom") == 24


def test_html_of_others_is_escaped(stepped: SteppedGateway) -> None:
    stepped.fire(signal(message='<img src=x onerror="alert(1)">'))
    assert "<img" not in html(notices(stepped)[0])
