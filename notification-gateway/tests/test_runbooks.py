"""The runbook page of a point, which needs no password."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from monitoring import catalogue
from notification_gateway.app import create_app
from notification_gateway.incidents.model import Incident
from notification_gateway.messages.links import Links
from notification_gateway.policy.evaluation import Decision
from notification_gateway.runbooks.page import mark_code
from running_gateway import ADMIN, TOKEN, Watch, settings, signal
from testkit.running_app import RunningApp

POINTS = [point.id for point in catalogue.load_all()]


@pytest.fixture
def running(sqlite_url: str, watch: Watch) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(sqlite_url), clock=watch)) as running:
        yield running


def send(running: RunningApp, watch: Watch, **fields: Any) -> None:
    body = {"signals": [signal(at=watch.now, **fields).model_dump(mode="json")]}
    assert running.post("/signals", body, token=TOKEN).status_code == 202
    watch.forward(minutes=1)


def test_every_point_has_a_page_in_both_languages_without_a_password(running: RunningApp) -> None:
    for point in catalogue.load_all():
        chinese = running.get(f"/runbook/{point.id}")
        english = running.get(f"/runbook/{point.id}", lang="en")
        assert (chinese.status_code, english.status_code) == (200, 200)
        assert chinese.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in chinese.headers["Content-Security-Policy"]
        assert catalogue.load_chinese()[point.id].name in chinese.text
        assert "怎么处理" in chinese.text
        assert "What to do" in english.text
        for text in (chinese.text, english.text):
            assert text.count("<code>docker compose ") == 3
            assert text.count("<code>kubectl ") == 3


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("en-GB,en;q=0.9", "What to do"),
        ("zh-CN", "怎么处理"),
        ("", "怎么处理"),
    ],
)
def test_the_language_is_the_browsers(running: RunningApp, accepted: str, expected: str) -> None:
    page = running.http.get("/runbook/redis.connection_failed", headers={"Accept-Language": accepted})
    assert expected in page.text


@pytest.mark.parametrize(
    "point", ["nothing.at_all", "redis", "REDIS.CONNECTION_FAILED", "<b>", "x" * 999, "%00", "%ff"]
)
def test_an_unknown_point_is_a_problem(running: RunningApp, point: str) -> None:
    answer = running.http.get(f"/runbook/{point}")
    assert answer.status_code in (404, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(answer.content) < 3000


def test_the_page_shows_how_earlier_incidents_ended(running: RunningApp, watch: Watch) -> None:
    assert "还没有结束过的事件" in running.get("/runbook/model.deployment_failed").text
    send(running, watch)
    send(running, watch, service="another")
    send(running, watch, kind="recovered")
    send(running, watch, service="verified", environment="verify")
    send(running, watch, service="verified", environment="verify", kind="recovered")
    page = running.get("/runbook/model.deployment_failed", lang="en").text
    assert "reported as recovered" in page
    assert "model-registry" in page
    assert "verified" not in page


def test_the_page_shows_who_closed_it_and_their_words_escaped(running: RunningApp, watch: Watch) -> None:
    send(running, watch)
    (alert,) = running.ask("/alerts")["alerts"]
    body = {"by": "li.wei", "comment": "<b>pushed it again</b>"}
    answer = running.post(f"/alerts/{alert['id']}/close", body, token=ADMIN)
    assert answer.status_code == 200, answer.text
    page = running.get("/runbook/model.deployment_failed", lang="en").text
    assert "closed by hand" in page
    assert "li.wei" in page
    assert "&lt;b&gt;pushed it again&lt;/b&gt;" in page


def test_text_in_backquotes_is_code_and_everything_is_escaped() -> None:
    assert mark_code("run `a <b>` & `c`") == "run <code>a &lt;b&gt;</code> &amp; <code>c</code>"
    assert mark_code("no end `a") == "no end <code>a</code>"


def incident(point: str) -> Incident:
    taken = signal(("x", "y"), monitoring_point=point)
    return Incident.open_from(taken, Decision("P0", None, (), ""), taken.first_seen)


@pytest.mark.parametrize(
    ("runbook_url", "public_url", "expected"),
    [
        ("", "https://alerts.example.com/", "https://alerts.example.com/runbook/model.deployment_failed"),
        ("", "", ""),
        ("https://wiki.example.com/points", "https://a", "https://wiki.example.com/points#modeldeployment_failed"),
    ],
)
def test_messages_link_to_the_gateways_own_page_unless_another_is_set(
    runbook_url: str, public_url: str, expected: str
) -> None:
    links = Links("", runbook_url, public_url, SecretStr("secret"))
    assert links.runbook(incident("model.deployment_failed")) == expected
    assert links.runbook(incident("sentry.alert")) == ""
