"""Thirty secrets, wherever an error may pick them up: none is in an envelope, a log line or an error body."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from fastapi import FastAPI, Request

import airflow_monitoring.settings
import feature_sync.settings
import model_registry.settings
import monitoring
import notification_gateway.settings
import pipeline.settings
import recommender_api.settings
from monitoring import MonitoringSettings
from servicekit import logs
from servicekit.app import base_app
from servicekit.problems import ProblemError
from testkit.fake_server import FakeServer
from testkit.running_app import RunningApp

_numbers = count()


def canary() -> str:
    return f"canary{next(_numbers):02d}xK7q"


def configured() -> tuple[list[str], list[str]]:
    """Return the secrets that each service's settings give to monitoring, and the canaries in them."""
    made: list[str] = []

    def new() -> str:
        made.append(canary())
        return made[-1]

    settings = (
        recommender_api.settings.Settings(
            redis_url=f"redis://user:{new()}@h:6379/0", registry_token=new(), events_token=new(), admin_token=new()
        ),
        model_registry.settings.Settings(database_url=f"postgresql://u:{new()}@h/db", registry_token=new()),
        feature_sync.settings.Settings(
            redis_url=f"rediss://:{new()}@h:6379/0", database_url=f"postgresql://u:{new()}@h/db", admin_token=new()
        ),
        notification_gateway.settings.Settings(
            database_url=f"postgresql://u:{new()}@h/db",
            gateway_token=new(),
            admin_token=new(),
            sentry_webhook_secret=new(),
            weixin_corp_id="ww1",
            weixin_corp_secret=new(),
            weixin_agent_id=1,
            weixin_to_user="oncall",
            weixin_robot_key=new(),
            smtp_url=f"smtp://mail:{new()}@mail:587",
            alert_email_to="oncall@example.com",
        ),
        pipeline.settings.Settings(
            business_database_url=f"postgresql://u:{new()}@h/db", database_url=f"postgresql://u:{new()}@h/db"
        ),
        airflow_monitoring.settings.ListenerSettings.model_validate(
            {
                "AIRFLOW__CORE__FERNET_KEY": new(),
                "AIRFLOW__API__SECRET_KEY": new(),
                "AIRFLOW__API_AUTH__JWT_SECRET": new(),
            }
        ),
    )
    return [secret for each in settings for secret in each.secrets()], made


SECRETS, CONFIGURED = configured()
# These are not configured: redaction recognizes them by the text around them.
PATTERNED = {name: canary() for name in ("corpsecret", "token", "key", "bearer", "password", "redis", "smtp", "cookie")}


def fail_first() -> None:
    raise ValueError(f"gettoken?corpid=ww1&corpsecret={PATTERNED['corpsecret']} {' '.join(CONFIGURED)}")


def fail() -> None:
    password = PATTERNED["password"]
    headers = {"Authorization": f"Bearer {PATTERNED['bearer']}", "Cookie": f"session={PATTERNED['cookie']}"}
    nested = {"list": [{"values": list(CONFIGURED)}], "url": f"smtp://u:{PATTERNED['smtp']}@mail:25"}
    assert password
    assert headers
    assert nested
    try:
        fail_first()
    except ValueError as error:
        raise ConnectionError(
            f"redis://:{PATTERNED['redis']}@h refused, send?access_token={PATTERNED['token']}&key={PATTERNED['key']}"
        ) from error


@asynccontextmanager
async def _nothing_to_open(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def collector() -> Iterator[FakeServer]:
    server = FakeServer()
    server.start()
    handlers, level = logging.root.handlers[:], logging.root.level
    yield server
    monitoring.shutdown()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    server.stop()


@pytest.fixture
def app() -> FastAPI:
    """A service whose endpoints fail with all secrets, each in its own way."""
    made = base_app("recsys-servicekit", "leaky", lifespan=_nothing_to_open, description="For tests.")

    @made.get("/unhandled")
    def unhandled(request: Request, access_token: str) -> None:
        del access_token
        for secret in CONFIGURED:
            monitoring.breadcrumb(f"called with {secret}", category="http", header=[secret], deep={"token": secret})
        logging.getLogger("leaky").warning("headers %s", dict(request.headers), extra={"nested": {"all": CONFIGURED}})
        fail()

    @made.get("/reported")
    def reported(access_token: str) -> None:
        del access_token
        try:
            fail()
        except ConnectionError as error:
            logging.getLogger("leaky").exception("failed: %s", CONFIGURED)
            monitoring.report(
                "pipeline.database",
                error=error,
                operation="read",
                database=CONFIGURED[0],
                details={"all": CONFIGURED, "chain": str(error.__cause__)},
            )
            raise ProblemError(503, f"{error}, because of {error.__cause__}") from error

    return made


def test_none_of_thirty_secrets_leaves_a_service(
    collector: FakeServer, app: FastAPI, capsys: pytest.CaptureFixture[str]
) -> None:
    key = collector.dsn.partition("//")[2].partition("@")[0]
    token = canary()
    settings = MonitoringSettings(
        sentry_dsn=collector.dsn, gateway_url=collector.url, gateway_token=token, sentry_traces_sample_rate=1.0
    )
    canaries = {*CONFIGURED, *PATTERNED.values(), token, key}
    assert len(canaries) >= 30
    monitoring.init("leaky", settings, secrets=SECRETS)
    logs.configure("leaky", "INFO", monitoring.log_redaction())
    headers = {"Authorization": f"Bearer {CONFIGURED[1]}", "Cookie": f"session={PATTERNED['cookie']}"}
    with RunningApp(app) as running:
        answers = [
            running.http.get(f"{path}?access_token={CONFIGURED[2]}", headers=headers)
            for path in ("/unhandled", "/reported", "/reported")
        ]
    monitoring.shutdown()
    assert [answer.status_code for answer in answers] == [500, 503, 503]
    assert {event["tags"]["monitoring_point"] for event in collector.events} == {"api.unhandled", "pipeline.database"}
    # Two first reports, and one repeat.
    assert len(collector.events) == len(collector.signals) == 3
    assert len(collector.transactions) == 3
    sent = b"".join(collector.bodies).decode()
    written = capsys.readouterr().err
    answered = "".join(answer.text for answer in answers)
    assert "[redacted]" in sent
    assert "failed: " in written
    assert "because of" in answered
    assert {secret for secret in canaries if secret in sent} == set()
    assert {secret for secret in canaries if secret in written} == set()
    assert {secret for secret in canaries if secret in answered} == set()
