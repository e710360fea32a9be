"""Faults that prevent the start, and their log messages."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from monitoring import MonitoringSettings
from notification_gateway.app import create_app
from notification_gateway.settings import Settings
from running_gateway import settings
from testkit.command_runs import run_module
from testkit.running_app import RunningApp


def test_a_policy_that_cannot_be_read_ends_the_start_with_its_line(tmp_path: Path) -> None:
    policy = tmp_path / "alerts.yaml"
    policy.write_bytes(b"defaults: {error: P1}\n# \x0b\n")
    database = f"sqlite:///{tmp_path}/gateway.db"
    ran = run_module(
        "notification_gateway", [], {"ALERT_POLICY": str(policy), "DATABASE_URL": database, "PORT": "38003"}
    )
    line = ran.stderr.decode().splitlines()[0]
    assert "Traceback" not in ran.stderr.decode()
    assert ran.returncode == 2
    assert json.loads(line)["message"].endswith(f"{policy}:2: unacceptable character U+000B")


def test_a_running_gateway_with_a_bad_edit_is_degraded_and_names_the_line(
    tmp_path: Path, sqlite_url: str, until: Callable[[Callable[[], object]], None]
) -> None:
    policy = tmp_path / "alerts.yaml"
    policy.write_text("defaults: {error: P1}\n", "utf-8")
    with RunningApp(create_app(settings(sqlite_url, alert_policy=policy))) as running:
        assert running.ask("/health")["checks"]["policy"]["status"] == "healthy"
        policy.write_text("defaults: {error: P1}\n# \x0b\n", "utf-8")
        until(lambda: running.ask("/health")["status"] == "degraded")
        assert f"{policy}:2: unacceptable character U+000B" in running.ask("/health")["checks"]["policy"]["detail"]
        policy.write_text("defaults: {error: P0}\n", "utf-8")
        until(lambda: running.ask("/health")["status"] == "healthy")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_TOKEN", "hush-hush\n"),
        ("GATEWAY_URL", "http://hush-hush\n"),
        ("ADMIN_TOKEN", "hush-hush-密钥"),
        ("WEIXIN_CORP_SECRET", "hush-hush\r\n"),
        ("WEIXIN_ROBOT_KEY", "hush hush-hush"),
        ("WEIXIN_BASE_URL", "https://hush-hush\n"),
        ("WEIXIN_TO_USER", "hush-hush\x07"),
        ("SENTRY_WEBHOOK_SECRET", "hush-hush\n"),
        ("SMTP_URL", "smtp://me:hush-hush@mail:port"),
        ("SMTP_URL", "smtp://me:hush-hush@mail\n"),
        ("SMTP_URL", "http://me:hush-hush@mail"),
        ("ALERT_EMAIL_FROM", "hush-hush\nBcc: x@example.com"),
        ("GATEWAY_PUBLIC_URL", "http://hush-hush?"),
        ("REGISTRY_URL", "http://hush-hush..a"),
        ("PROMETHEUS_URL", "http://me:hush-hush@[::1"),
        ("COLLECTOR_URL", "hush-hush"),
        ("HEARTBEAT_URL", "hush-hush"),
        ("HEARTBEAT_URL", "ftp://mail/hush-hush"),
        ("HEARTBEAT_URL", "http://mail/hush-hush\n"),
        ("HEARTBEAT_URL", "http://mail/#hush-hush"),
        ("APPRISE_URLS", "slack://hush-hush"),
        ("WEIXIN_MENTION", "hush-hush!"),
    ],
)
def test_an_unusable_setting_is_named_and_not_printed(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    tried = MonitoringSettings if name in ("GATEWAY_URL", "GATEWAY_TOKEN") else Settings
    with pytest.raises(ValidationError) as error:
        tried()
    assert name.lower() in {found["loc"][0] for found in error.value.errors()}
    assert "hush-hush" not in str(error.value)
