"""Channels of APPRISE_URLS: named in the policy, with checked outcomes, and within limits."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

import monitoring.testing
from monitoring.redaction import Redactor
from notification_gateway import channels
from notification_gateway.app import create_app
from notification_gateway.apprise_channels.channel import AppriseChannel, AppriseService
from notification_gateway.apprise_urls import parse_urls
from notification_gateway.cli import main
from notification_gateway.delivery.channel import Delivered, Outcome, Rejected
from notification_gateway.outbox.notice import Line, Notice
from notification_gateway.policy.loading import PolicyError, parse_policy
from notification_gateway.policy.watching import PolicyFile
from notification_gateway.tables import notifications
from running_gateway import (
    ADMIN,
    TOKEN,
    MailServer,
    Receiver,
    SteppedGateway,
    Wechat,
    app_of,
    mail_to,
    settings,
    signal,
)
from testkit.running_app import RunningApp

Make = Callable[..., SteppedGateway]
NOTICE = Notice(title="【P0】broken", lines=(Line(label="x", value="<b> & *c*"),), reference="#1")
POLICY = """defaults: {error: P2, warning: P2, info: none}
escalation: {after_minutes: 5, channels: [ops]}
rules:
  - name: urgent
    priority: P0
    conditions: [{category: model}]
    actions:
      - {alert: immediate, channel: ops}
"""


def json_url(receiver: Receiver, path: str = "hook-1234567", query: str = "") -> str:
    return f"json://127.0.0.1:{receiver.port}/{path}{query}"


def send(*urls: str, times: int = 1) -> list[Outcome]:
    async def each() -> list[Outcome]:
        channel = AppriseChannel(urls)
        try:
            return [await channel.send(NOTICE, "k") for _ in range(times)]
        finally:
            await channel.close()

    return asyncio.run(each())


def with_policy(step_with: Make, folder: Path, url: str, **more: Any) -> SteppedGateway:
    path = folder / "alerts.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return step_with(alert_policy=path, apprise_urls=SecretStr(f"ops={url}"), **more)


def states(stepped: SteppedGateway) -> list[tuple[str, str]]:
    return [(row["channel"], row["state"]) for row in stepped.rows(notifications)]


def test_a_message_arrives_as_it_is_written(receiver: Receiver) -> None:
    assert send(json_url(receiver)) == [Delivered()]
    ((method, path, body),) = receiver.calls
    assert (method, path) == ("POST", "/hook-1234567")
    message = json.loads(body)
    assert (message["title"], message["message"]) == (NOTICE.title, "x: <b> & *c*\n编号 Ref: #1")


@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (401, False), (404, False), (429, True), (500, True), (503, True)]
)
def test_a_message_that_a_service_rejects_is_not_delivered(receiver: Receiver, status: int, retryable: bool) -> None:
    receiver.answer = (status, {}, b"no")
    (outcome,) = send(json_url(receiver))
    assert isinstance(outcome, Rejected)
    assert outcome.retryable is retryable
    assert outcome.reason.startswith("JSON: ")
    assert f"error={status}" in outcome.reason


@pytest.mark.parametrize("query", ["?optional=yes", "?retry=3", "?rto=60&cto=60"])
def test_options_of_a_url_do_not_hide_a_failure(receiver: Receiver, query: str) -> None:
    receiver.answer = (500, {}, b"no")
    (outcome,) = send(json_url(receiver, query=query))
    assert isinstance(outcome, Rejected)


@pytest.mark.parametrize("query", ["", "?redirect=yes"])
def test_a_redirect_is_not_followed_and_not_delivered(receiver: Receiver, query: str) -> None:
    receiver.answer = (307, {"Location": f"{receiver.url}/elsewhere"}, b"")
    (outcome,) = send(json_url(receiver, query=query))
    assert isinstance(outcome, Rejected)
    assert [path for _, path, _ in receiver.calls] == ["/hook-1234567"]


def test_a_refused_connection_is_retryable() -> None:
    (outcome,) = send("json://127.0.0.1:9/")
    assert isinstance(outcome, Rejected)
    assert outcome.retryable


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "2852039166", "[::ffff:169.254.169.254]"])
def test_a_link_local_address_is_not_called(host: str) -> None:
    (outcome,) = send(f"json://{host}/latest")
    assert isinstance(outcome, Rejected)
    assert not outcome.retryable
    assert "link-local" in outcome.reason


def test_a_service_that_hangs_ends_in_time_and_is_not_called_again_meanwhile(receiver: Receiver) -> None:
    receiver.answer, receiver.drip_seconds = (200, {}, b"x" * 100), 0.2

    async def twice() -> list[Outcome]:
        channel = AppriseChannel([json_url(receiver)])
        try:
            async with asyncio.timeout(15):
                return [await channel.send(NOTICE, "k") for _ in range(2)]
        finally:
            await channel.close()

    first, second = asyncio.run(twice())
    assert isinstance(first, Rejected)
    assert first.retryable
    assert isinstance(second, Rejected)
    assert len(receiver.calls) <= 2


def test_one_of_several_services_is_enough_and_the_failed_ones_are_named(receiver: Receiver) -> None:
    (outcome,) = send(json_url(receiver), "json://127.0.0.1:9/")
    assert isinstance(outcome, Delivered)
    assert outcome.detail.startswith("JSON: ")
    (outcome,) = send("json://127.0.0.1:9/", "json://127.0.0.1:9/")
    assert isinstance(outcome, Rejected)


def test_no_token_of_a_url_is_in_a_reason(receiver: Receiver) -> None:
    receiver.answer = (404, {}, b"hook-1234567 pass-1234567")
    (outcome,) = send(f"json://me:pass-1234567@127.0.0.1:{receiver.port}/hook-1234567")
    assert "1234567" not in repr(outcome)


def test_the_policy_sends_through_a_named_channel(receiver: Receiver, step_with: Make, tmp_path: Path) -> None:
    stepped = with_policy(step_with, tmp_path, json_url(receiver))
    stepped.fire(signal())
    stepped.deliver()
    stepped.fire(signal(kind="recovered"))
    stepped.watch.forward(minutes=1)
    stepped.deliver()
    assert states(stepped) == [("ops", "sent"), ("ops", "sent")]
    assert ["已恢复" in json.loads(body)["title"] for _, _, body in receiver.calls] == [False, True]
    assert stepped.health()["channel ops"]["status"] == "healthy"


def test_an_escalation_goes_through_a_named_channel(receiver: Receiver, step_with: Make, tmp_path: Path) -> None:
    stepped = with_policy(step_with, tmp_path, json_url(receiver))
    stepped.fire(signal())
    stepped.deliver()
    stepped.pass_time(minutes=6)
    stepped.deliver()
    assert [row["kind"] for row in stepped.rows(notifications)] == ["opened", "escalated"]
    assert len(receiver.calls) == 2


def test_a_message_fails_over_from_channel_to_channel_until_one_accepts_it(
    receiver: Receiver, wechat: Wechat, mail: MailServer, step_with: Make
) -> None:
    stepped = step_with(**app_of(wechat.url), **mail_to(mail.port), apprise_urls=SecretStr(f"ops={json_url(receiver)}"))
    wechat.fault(operation="message/send", errcode=60011)
    mail.refusals = {"MAIL": "550 never"}
    stepped.fire(signal())
    for _ in range(3):
        stepped.deliver()
    assert states(stepped) == [("weixin", "failed"), ("email", "failed"), ("ops", "sent")]
    assert len(receiver.calls) == 1


def test_when_all_channels_fail_none_is_tried_twice(receiver: Receiver, wechat: Wechat, step_with: Make) -> None:
    stepped = step_with(**app_of(wechat.url), apprise_urls=SecretStr(f"ops={json_url(receiver)}"))
    wechat.fault(operation="message/send", errcode=60011)
    receiver.answer = (404, {}, b"no")
    stepped.fire(signal())
    for _ in range(6):
        stepped.deliver()
        stepped.watch.forward(seconds=10)
    assert states(stepped) == [("weixin", "failed"), ("ops", "failed")]


def test_messages_of_a_removed_channel_go_through_another_one(
    receiver: Receiver, wechat: Wechat, step_with: Make, tmp_path: Path
) -> None:
    before = with_policy(step_with, tmp_path, json_url(receiver))
    before.fire(signal())
    after = step_with(**app_of(wechat.url))
    after.gateway.delivery.reassign_orphans()
    after.deliver()
    assert states(after) == [("weixin", "sent")]
    assert receiver.calls == []


def test_a_failed_named_channel_is_reported_until_a_message_arrives(
    receiver: Receiver, step_with: Make, tmp_path: Path
) -> None:
    stepped = with_policy(step_with, tmp_path, json_url(receiver))
    receiver.answer = (404, {}, b"no")
    with monitoring.testing.captured() as captured:
        stepped.fire(signal())
        stepped.deliver()
        assert captured.point_ids == ["gateway.channel_failed"]
        assert captured[0].tags["channel"] == "ops"
        assert stepped.health()["channel ops"]["status"] == "degraded"
        receiver.answer = (200, {}, b"ok")
        stepped.fire(signal(("model", "other")))
        stepped.deliver()
    assert [report.fingerprint for report in captured.recovered] == [("gateway", "channel_failed", "ops")]


def test_the_failure_of_a_named_channel_is_not_sent_through_itself(
    receiver: Receiver, wechat: Wechat, step_with: Make, tmp_path: Path
) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(POLICY.replace("category: model", "category: gateway"), encoding="utf-8")
    stepped = step_with(alert_policy=path, apprise_urls=SecretStr(f"ops={json_url(receiver)}"), **app_of(wechat.url))
    wechat.fault(operation="message/send", errcode=60011, times=1)
    stepped.fire(signal(("gateway", "channel_failed", "ops"), category="gateway"))
    for _ in range(4):
        stepped.deliver()
    assert states(stepped) == [("weixin", "failed")]
    assert receiver.calls == []


def test_notify_and_ping_accept_a_named_channel(
    receiver: Receiver, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = settings(sqlite_url, apprise_urls=SecretStr(f"ops={json_url(receiver)}"))
    with RunningApp(create_app(given)) as running:
        assert main(["ping", "ops", "--url", running.url, "--token", ADMIN]) == 0
        authorized = {"Authorization": f"Bearer {TOKEN}"}
        for channel, status in (("ops", 202), ("weixin", 202), ("nope", 422), ("dashboard", 422)):
            body = {"title": "t", "channel": channel}
            assert running.http.post("/notify", json=body, headers=authorized).status_code == status, channel
    assert capsys.readouterr().out.startswith("ops: delivered")


def test_an_unknown_channel_in_the_policy_is_rejected_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as error:
        parse_policy(POLICY, "p.yaml", ("weixin", "email", "dashboard", "oncall"))
    assert sorted(problem.line for problem in error.value.problems) == [2, 8]
    assert "there is no channel 'ops'; there are weixin, email, dashboard, oncall" in str(error.value)
    with pytest.raises(PolicyError, match="the dashboard sends nothing"):
        parse_policy(POLICY.replace("[ops]", "[dashboard]"), "p.yaml", ("ops", "dashboard"))
    path = tmp_path / "alerts.yaml"
    path.write_text(POLICY, encoding="utf-8")
    with pytest.raises(PolicyError):
        PolicyFile(path).load()
    held = PolicyFile(path, ("weixin", "ops"))
    held.load()
    assert held.error is None


def test_alertctl_accepts_the_channels_of_the_option_or_of_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(POLICY, encoding="utf-8")
    assert main(["check", str(path)]) == 1
    assert f"{path}:8: " in capsys.readouterr().err
    assert main(["check", str(path), "--channels", "oncall, ops"]) == 0
    monkeypatch.setenv("APPRISE_URLS", "ops=slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    assert main(["check", str(path)]) == 0
    monkeypatch.setenv("APPRISE_URLS", "TIiajkdnlazkcOXrIdevi7FQ")
    assert main(["check", str(path)]) == 2
    assert "TIia" not in capsys.readouterr().err


def test_urls_are_read_with_their_commas_and_equals_signs() -> None:
    text = "ops=slack://a/b,c?d=e&f=g, on-call=tgram://1:2/3 ;ops=json://h/?x=y=z"
    assert parse_urls(text) == {"ops": ["slack://a/b,c?d=e&f=g", "json://h/?x=y=z"], "on-call": ["tgram://1:2/3"]}


@pytest.mark.parametrize(
    "text",
    [
        "slack://hush-hush",
        "hush-hush ops=slack://a",
        "Ops=slack://hush-hush",
        "weixin=slack://hush-hush",
        "a_name_that_is_too_long=slack://hush-hush",
        "ops=slack://hush-hush other",
        "=slack://hush-hush",
    ],
)
def test_an_invalid_setting_is_rejected_and_not_printed(text: str) -> None:
    with pytest.raises(ValidationError) as error:
        settings("sqlite://", apprise_urls=SecretStr(text))
    assert "apprise_urls" in str(error.value)
    assert "hush-hush" not in str(error.value)


@pytest.mark.parametrize("url", ["nope://hush-hush", "slack://hush", "tgram://hush-hush"])
def test_a_url_that_apprise_cannot_use_is_rejected_with_its_channel(url: str) -> None:
    with pytest.raises(channels.UnusableChannelError) as error:
        channels.apprise_channels(settings("sqlite://", apprise_urls=SecretStr(f"ops={url}")))
    assert "ops" in str(error.value)
    assert "hush" not in str(error.value)


def test_the_urls_are_secrets_of_the_settings() -> None:
    url = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    given = settings(
        "sqlite://", apprise_urls=SecretStr(f"ops={url}"), heartbeat_url=SecretStr("http://h.test/0a1b2c3d")
    )
    redactor = Redactor(given.secrets())
    for each in (url, "TIiajkdnlazkcOXrIdevi7FQ", "T1JJ3T3L2", "slack%3A%2F%2FT1JJ3T3L2%2FA1BRTD4JD", "0a1b2c3d"):
        assert each not in redactor.text(f"calling {each}")


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "dingtalk://token12345678901234567890abcd",
        "feishu://abcdefab-1234-1234-1234-abcdefabcdef",
        "tgram://123456789:AABBCCDDEEFF1xxxxxxxxxxxxxxxxxxxxxxxxxxxxx/12315544",
    ],
)
def test_the_services_that_the_docs_name_can_be_used(url: str) -> None:
    AppriseService(url).close()
