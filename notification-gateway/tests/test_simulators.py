"""Simulators are for the demo: the gateway shows that they are simulators, and rejects them in production."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from monitoring.testing import captured
from notification_gateway.app import create_app
from notification_gateway.settings import Settings
from notification_gateway.simulators import is_mail_catcher, is_weixin_simulator, mark_simulators
from notification_gateway.tables import notifications
from running_gateway import (
    SIMULATED,
    MailServer,
    SteppedGateway,
    Watch,
    Wechat,
    app_of,
    mail_to,
    settings,
    signal,
)
from testkit.command_runs import run_module
from testkit.running_app import RunningApp
from wechat_simulator.server import SimulatorServer


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer.on_free_port(SIMULATED) as running:
        yield running


def caught_by(server: SimulatorServer) -> dict[str, Any]:
    return {"smtp_url": SecretStr(server.smtp_url), "alert_email_to": "oncall@example.test"}


def test_the_simulators_are_recognized_by_their_answers(
    server: SimulatorServer, sqlite_url: str, mail: MailServer
) -> None:
    found = mark_simulators(settings(sqlite_url, **app_of(server.url), **caught_by(server)))
    assert found.simulated == ["WEIXIN_BASE_URL", "SMTP_URL"]
    others = settings(sqlite_url, **app_of("http://127.0.0.1:9"), **mail_to(mail.port))
    assert mark_simulators(others).simulated == []
    assert not is_weixin_simulator("https://qyapi.weixin.qq.com")
    assert not is_weixin_simulator(f"http://127.0.0.1:{mail.port}")
    assert not is_mail_catcher("127.0.0.1", 9)


@pytest.mark.parametrize("flag", ["weixin_simulated", "email_simulated"])
def test_production_rejects_a_flagged_simulator(sqlite_url: str, flag: str) -> None:
    with pytest.raises(ValidationError) as error:
        settings(sqlite_url, environment="production", **{flag: True})
    assert "lead to a simulator, so no alert would arrive" in str(error.value)
    assert settings(sqlite_url, environment="development", **{flag: True}).simulated != []


def test_production_does_not_start_with_an_unflagged_simulator(server: SimulatorServer, tmp_path: Path) -> None:
    ran = run_module(
        "notification_gateway",
        [],
        {
            "ENVIRONMENT": "production",
            "DATABASE_URL": f"sqlite:///{tmp_path}/gateway.db",
            "ALERT_POLICY": str(Path(__file__).parents[2] / "deploy" / "alerts.yaml"),
            **dict.fromkeys(("GATEWAY_TOKEN", "ADMIN_TOKEN", "SENTRY_WEBHOOK_SECRET"), "one-of-its-own"),
            "SMTP_URL": server.smtp_url,
            "ALERT_EMAIL_TO": "oncall@example.test",
            "PORT": "38003",
        },
    )
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr.decode()
    said = json.loads(ran.stderr.decode().splitlines()[0])["message"]
    assert "ENVIRONMENT is production, but SMTP_URL lead" in said


def test_health_and_messages_say_that_it_is_a_simulator(server: SimulatorServer, sqlite_url: str, watch: Watch) -> None:
    simulated: Settings = mark_simulators(settings(sqlite_url, **app_of(server.url), **caught_by(server)))
    with RunningApp(create_app(simulated)) as running:
        checks = running.ask("/health")["checks"]
    assert checks["weixin"] == {"status": "healthy", "detail": "to user (simulator)"}
    assert checks["email"] == {"status": "healthy", "detail": "to address (simulator)"}
    stepped = SteppedGateway(simulated, watch)
    stepped.fire(signal(), signal(("redis", "connection_failed")))
    stepped.pass_time(hours=1)
    with captured() as reports:
        while stepped.deliver():
            pass
    assert reports == [], "what a simulator takes is delivered"
    wechat = Wechat(server.url)
    assert "模拟器 Simulator: 演示环境，没有人收到 a demo: nobody got this" in wechat.contents[0]
    (caught,) = [each for each in wechat.mails if "每小时告警汇总" in each["subject"]]
    assert "模拟器 Simulator" in caught["text"]
    assert "redis.connection_failed" in caught["html"]
    assert {row["detail"] for row in stepped.rows(notifications) if row["state"] == "sent"} == {"simulator"}
    wechat.close()
    stepped.close()
