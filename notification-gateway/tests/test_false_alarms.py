"""The share of false alarms: which incidents count, how a person marks one, and where the share is shown."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from contracts.signals import AlertSignal
from localservers.waiting import wait_until
from notification_gateway.app import create_app
from notification_gateway.incidents.false_alarms import FalseAlarms, count_false_alarms
from notification_gateway.messages.links import Links
from running_gateway import ADMIN, TOKEN, SteppedGateway, Watch, settings, signal
from testkit.running_app import RunningApp

LINKS = Links("", "", "http://gateway.test", SecretStr(ADMIN))


@pytest.fixture
def running(sqlite_url: str, watch: Watch) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(sqlite_url, weixin_robot_key="k"), clock=watch)) as running:
        yield running


def fire(running: RunningApp, *signals: AlertSignal) -> None:
    body = {"signals": [each.model_dump(mode="json") for each in signals]}
    assert running.post("/signals", body, token=TOKEN).status_code == 202


def recovered(fingerprint: tuple[str, ...], watch: Watch) -> AlertSignal:
    return signal(fingerprint, kind="recovered", at=watch.now)


def counted(stepped: SteppedGateway) -> FalseAlarms:
    with stepped.gateway.storage.read() as connection:
        return count_false_alarms(connection, stepped.watch.now)


def test_without_a_notified_incident_there_is_no_share() -> None:
    assert FalseAlarms(0, 0).share is None
    assert FalseAlarms(0, 0).keeps_promise


@pytest.mark.parametrize(("notified", "keeps"), [(19, False), (20, False), (21, True)])
def test_the_promise_is_less_than_one_in_twenty(notified: int, keeps: bool) -> None:
    assert FalseAlarms(notified, 1).keeps_promise is keeps


def test_notified_incidents_of_thirty_days_count(stepped: SteppedGateway) -> None:
    stepped.fire(signal(("airflow", "a", "b")))
    stepped.fire(signal(("airflow", "a", "c")))
    stepped.fire(signal(("airflow", "a", "d"), environment="verify"))
    stepped.fire(signal(("fallback", "precomputed_used"), level="info", monitoring_point="fallback.precomputed_used"))
    assert counted(stepped) == FalseAlarms(2, 0)
    stepped.gateway.alerts.actions.close(1, "li.wei", false_alarm=True)
    stepped.gateway.alerts.actions.close(2, "li.wei")
    assert counted(stepped) == FalseAlarms(2, 1)
    stepped.watch.forward(days=30)
    assert counted(stepped) == FalseAlarms(0, 0)


def test_an_incident_under_another_one_does_not_count(stepped: SteppedGateway) -> None:
    stepped.fire(signal(("airflow", "a", "b")))
    stepped.fire(signal(("airflow", "a", "c")))
    stepped.gateway.alerts.actions.group(2, 1, "li.wei")
    stepped.gateway.alerts.actions.close(1, "li.wei", false_alarm=True)
    assert counted(stepped) == FalseAlarms(1, 1)


def test_an_incident_that_has_ended_is_marked_once(running: RunningApp, watch: Watch) -> None:
    fire(running, signal(("airflow", "a", "b")))
    watch.forward(minutes=1)
    fire(running, recovered(("airflow", "a", "b"), watch))
    mark = {"by": "li.wei", "false_alarm": True, "comment": "the probe was wrong"}
    assert running.post("/alerts/1/close", {"by": "li.wei"}, token=ADMIN).status_code == 409
    marked = running.post("/alerts/1/close", mark, token=ADMIN)
    assert marked.status_code == 200, marked.text
    assert (marked.json()["resolution"], marked.json()["closed_by"]) == ("false_alarm", "li.wei")
    assert [(each["kind"], each["actor"]) for each in marked.json()["timeline"]][-2:] == [
        ("commented", "li.wei"),
        ("marked", "li.wei"),
    ]
    assert running.post("/alerts/1/close", mark, token=ADMIN).status_code == 409


def test_the_link_of_a_message_marks_an_incident_that_has_ended(running: RunningApp, watch: Watch) -> None:
    fire(running, signal(("model", "deployment_failed")))
    fire(running, recovered(("model", "deployment_failed"), watch))
    address = LINKS.action("false-alarm", 1, watch.now).removeprefix("http://gateway.test")
    assert "<button>" in running.http.get(address).text
    assert running.http.post(address, data={"by": "li.wei"}).status_code == 200
    assert running.ask("/alerts/1")["resolution"] == "false_alarm"
    assert "<button>" not in running.http.get(address).text


def test_the_dashboard_marks_an_incident_and_shows_the_share_in_both_languages(
    running: RunningApp, watch: Watch
) -> None:
    fire(running, signal(("airflow", "a", "b")), signal(("airflow", "a", "c")))
    fire(running, recovered(("airflow", "a", "b"), watch))
    running.http.post("/dashboard/session", data={"token": ADMIN, "back": "incident/1"})
    form = 'action="/dashboard/incidents/1/false-alarm"'
    assert form in running.http.get("/dashboard/incident/1").text
    running.http.post("/dashboard/incidents/1/false-alarm", data={"by": "li.wei", "back": "incident/1"})
    assert form not in running.http.get("/dashboard/incident/1").text
    for language, words in (("en", "False alarms · 30 d, promise &lt; 5%"), ("zh", "误报 · 30 天，承诺 &lt; 5%")):
        page = running.http.get("/dashboard", params={"lang": language}).text
        assert words in page
        assert "50.0<small>% (1 / 2)" in page


def test_the_counts_are_in_the_metrics(sqlite_url: str, watch: Watch, running: RunningApp) -> None:
    fire(running, signal(("airflow", "a", "b")))
    running.post("/alerts/1/close", {"by": "li.wei", "false_alarm": True}, token=ADMIN)
    # Another replica reads the same database, at its start.
    with RunningApp(create_app(settings(sqlite_url), clock=watch)) as other:
        wait_until(
            lambda: (
                {"gateway_notified_incidents 1.0", "gateway_false_alarms 1.0"}
                <= {*other.http.get("/metrics").text.splitlines()}
            ),
            within=60,
            what="the counts are exposed",
        )
