"""`alertctl ping` and its route: a test message through a channel of the running gateway, and its outcome."""

from collections.abc import Iterator
from typing import Any

import pytest

from notification_gateway.app import create_app
from notification_gateway.cli import main
from notification_gateway.ping import endpoints
from running_gateway import ADMIN, MailServer, Wechat, app_of, mail_to, settings
from testkit.running_app import RunningApp


@pytest.fixture
def running(sqlite_url: str, wechat: Wechat, mail: MailServer) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(sqlite_url, **app_of(wechat.url), **mail_to(mail.port)))) as started:
        yield started


def ping(running: RunningApp, channel: str, token: str = ADMIN) -> tuple[int, dict[str, Any]]:
    response = running.http.post(f"/channels/{channel}/ping", headers={"Authorization": f"Bearer {token}"})
    return response.status_code, response.json()


def alertctl(running: RunningApp, channel: str, token: str = ADMIN) -> int:
    return main(["ping", channel, "--url", running.url, "--token", token])


def test_a_ping_that_arrives_is_reported_as_delivered(
    running: RunningApp, wechat: Wechat, mail: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [alertctl(running, "weixin"), alertctl(running, "email")] == [0, 0]
    out = capsys.readouterr().out.splitlines()
    assert [line.partition(" in ")[0] for line in out] == ["weixin: delivered", "email: delivered"]
    assert "渠道测试消息" in wechat.contents[0]
    assert len(mail.mails) == 1


def test_a_ping_that_fails_names_the_reason(
    running: RunningApp, wechat: Wechat, mail: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    wechat.members(unlicensed=["alice"])
    mail.refusals = {"MAIL": "550 never"}
    assert [alertctl(running, "weixin"), alertctl(running, "email")] == [1, 1]
    assert capsys.readouterr().err.splitlines() == [
        "alertctl: weixin: not delivered: message/send: not delivered to alice (unlicenseduser)",
        "alertctl: email: not delivered: SMTP answered 550",
    ]
    checks = running.http.get("/health").json()["checks"]
    assert [checks[name]["status"] for name in ("weixin", "email")] == ["degraded", "degraded"]
    wechat.members()
    mail.refusals = {}
    assert [alertctl(running, "weixin"), alertctl(running, "email")] == [0, 0]
    checks = running.http.get("/health").json()["checks"]
    assert [checks[name]["status"] for name in ("weixin", "email")] == ["healthy", "healthy"]


def test_a_channel_that_is_not_configured_says_what_to_set(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with RunningApp(create_app(settings(sqlite_url))) as running:
        assert alertctl(running, "email") == 1
    assert "set SMTP_URL and ALERT_EMAIL_TO" in capsys.readouterr().err


@pytest.mark.parametrize("channel", ["nope", "weixin ", "a/b", "\u6f22", "x" * 65, "\udcff", "x" * 70_000])
def test_an_unknown_channel_is_a_usage_error_that_names_the_known_ones(
    running: RunningApp, channel: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert alertctl(running, channel) == 2
    assert channel != "nope" or "there are weixin, email" in capsys.readouterr().err


@pytest.mark.parametrize("token", ["wrong-token", "", "b\u00e4d"])
def test_it_needs_the_admin_token(
    running: RunningApp, wechat: Wechat, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert alertctl(running, "weixin", token) == 2
    assert wechat.contents == []
    assert "wrong-token" not in capsys.readouterr().err


def test_a_missing_gateway_is_reported_as_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping", "weixin", "--url", "http://127.0.0.1:9", "--token", ADMIN]) == 3
    assert "http://127.0.0.1:9 can't be reached" in capsys.readouterr().err


def test_a_channel_that_hangs_is_given_up_in_time(
    running: RunningApp, wechat: Wechat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "MAX_SECONDS", 0.3)
    wechat.fault(operation="message/send", hang_seconds=3, times=1)
    status, result = ping(running, "weixin")
    assert (status, result["delivered"], result["detail"]) == (200, False, "no answer within 0.3 s")
