"""Actions on incidents, by API and by signed links; each change is in the timeline."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from pydantic import SecretStr

from notification_gateway.alerting.endpoints import detail_of
from notification_gateway.app import create_app
from notification_gateway.messages.links import Action, Links
from notification_gateway.tables import incidents, notifications
from running_gateway import ADMIN, TOKEN, SteppedGateway, Watch, settings, signal
from testkit.running_app import RunningApp

LINKS = Links("", "", "http://gateway.test", SecretStr(ADMIN))


def link(action: Action, watch: Watch, incident_id: int = 1) -> str:
    return LINKS.action(action, incident_id, watch.now).removeprefix("http://gateway.test")


@pytest.fixture
def running(sqlite_url: str, watch: Watch) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(sqlite_url, weixin_robot_key="k"), clock=watch)) as running:
        yield running


def fire(running: RunningApp, *fingerprints: tuple[str, ...]) -> None:
    signals = [signal(each).model_dump(mode="json") for each in fingerprints or [("model", "deployment_failed")]]
    sent = running.http.post("/signals", json={"signals": signals}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert sent.json()["accepted"] == len(signals)


def act(running: RunningApp, path: str, status: int = 200, **body: object) -> dict[str, object]:
    answer = running.http.post(f"/alerts/{path}", json=body, headers={"Authorization": f"Bearer {ADMIN}"})
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def timeline(running: RunningApp, incident_id: int = 1) -> list[tuple[str, str, str]]:
    shown = running.http.get(f"/alerts/{incident_id}").json()
    return [(each["kind"], each["actor"], each["detail"]) for each in shown["timeline"]]


def test_every_change_is_in_the_timeline_with_who_did_it(running: RunningApp) -> None:
    fire(running)
    act(running, "1/acknowledgement", by="li.wei", comment="looking")
    act(running, "1/assignment", by="li.wei", assignee="zhang.san")
    act(running, "1/comments", by="zhang.san", text="disk was full")
    closed = act(running, "1/close", by="zhang.san", comment="freed it")
    assert (closed["state"], closed["resolution"], closed["closed_by"]) == ("resolved", "closed", "zhang.san")
    act(running, "1/reopen", by="li.wei", comment="full again")
    assert timeline(running)[1:] == [
        ("commented", "li.wei", "looking"),
        ("acknowledged", "li.wei", ""),
        ("assigned", "li.wei", "zhang.san"),
        ("commented", "zhang.san", "disk was full"),
        ("commented", "zhang.san", "freed it"),
        ("resolved", "zhang.san", "closed"),
        ("commented", "li.wei", "full again"),
        ("reopened", "li.wei", ""),
    ]


def test_an_impossible_action_is_rejected_with_a_reason_and_changes_nothing(running: RunningApp) -> None:
    fire(running)
    act(running, "7/close", 404, by="li.wei")
    act(running, "1/reopen", 409, by="li.wei")
    act(running, "1/close", by="li.wei", false_alarm=True)
    act(running, "1/close", 409, by="li.wei")
    act(running, "1/comments", 422, by="li.wei", text="")
    act(running, "1/parent", 409, by="li.wei", parent_id=1)
    act(running, "1/parent", 404, by="li.wei", parent_id=7)
    assert [kind for kind, _, _ in timeline(running)] == ["opened", "resolved"]
    assert running.http.post("/alerts/1/close", json={"by": "x"}).status_code == 401


def test_several_incidents_are_put_under_one_and_end_with_it(running: RunningApp) -> None:
    fire(running, ("model", "deployment_failed"), ("airflow", "a", "b"), ("airflow", "a", "c"))
    for number in (2, 3):
        act(running, f"{number}/parent", by="li.wei", parent_id=1)
    act(running, "1/parent", 409, by="li.wei", parent_id=2)
    assert running.http.get("/alerts/1").json()["children"] == [2, 3]
    act(running, "3/parent", by="li.wei", parent_id=None)
    act(running, "1/close", by="li.wei")
    states = {each["id"]: each["state"] for each in running.http.get("/alerts").json()["alerts"]}
    assert states == {1: "resolved", 2: "resolved", 3: "open"}


def test_an_open_incident_is_not_hidden_under_one_that_has_ended(running: RunningApp) -> None:
    fire(running, ("model", "deployment_failed"), ("airflow", "a", "b"))
    act(running, "2/parent", by="li.wei", parent_id=1)
    act(running, "1/close", by="li.wei")
    act(running, "2/reopen", by="li.wei")
    assert running.http.get("/alerts/2").json()["parent_id"] is None
    act(running, "2/parent", 409, by="li.wei", parent_id=1)


@pytest.mark.parametrize("name", ["li\n【P0】spoofed", "li\u202eiew", " ", "\t", "\u200b", ""])
def test_a_name_is_one_line_that_can_be_read(running: RunningApp, name: str) -> None:
    fire(running)
    act(running, "1/close", 422, by=name)
    act(running, "1/assignment", 422, by="li.wei", assignee=name)


@pytest.mark.parametrize(
    ("path", "odd"),
    [("1/parent", {"parent_id": True}), ("1/parent", {"parent_id": "1"}), ("1/close", {"false_alarm": "yes"})],
)
def test_a_value_of_another_type_is_rejected(running: RunningApp, path: str, odd: dict[str, object]) -> None:
    fire(running)
    act(running, path, 422, by="li.wei", **odd)


def test_a_close_is_notified_unless_the_incident_is_reopened_soon(
    stepped: SteppedGateway,
) -> None:
    stepped.fire(signal())
    stepped.gateway.alerts.actions.close(1, "li.wei")
    assert [row["kind"] for row in stepped.rows(notifications)] == ["opened", "resolved"]
    assert "li.wei" in str(stepped.rows(notifications)[-1]["notice"])
    stepped.gateway.alerts.actions.reopen(1, "li.wei")
    assert [row["kind"] for row in stepped.rows(notifications)] == ["opened"]


def test_a_fault_that_continues_after_a_close_is_a_new_incident(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    stepped.gateway.alerts.actions.close(1, "li.wei")
    stepped.watch.forward(minutes=2)
    stepped.fire(signal(at=stepped.watch.now))
    assert [row["state"] for row in stepped.rows(incidents)] == ["resolved", "open"]


def test_a_reopened_incident_is_unacknowledged_again(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    stepped.gateway.alerts.actions.acknowledge(1, "li.wei")
    stepped.gateway.alerts.actions.close(1, "li.wei")
    stepped.watch.forward(minutes=1)
    stepped.gateway.alerts.actions.reopen(1, "li.wei")
    stepped.pass_time(minutes=14)
    assert "escalated" not in {row["kind"] for row in stepped.rows(notifications)}
    stepped.pass_time(minutes=1)
    stepped.pass_time(hours=4)
    assert {"reminded", "escalated"} <= {row["kind"] for row in stepped.rows(notifications)}


def test_a_reopened_incident_is_escalated_again(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    stepped.pass_time(minutes=15)
    stepped.gateway.alerts.actions.close(1, "li.wei")
    stepped.watch.forward(minutes=1)
    stepped.gateway.alerts.actions.reopen(1, "li.wei")
    stepped.pass_time(minutes=15)
    escalated = [row["channel"] for row in stepped.rows(notifications) if row["kind"] == "escalated"]
    assert escalated == ["weixin", "email", "weixin", "email"]


class TestSignedLinks:
    """GET shows, POST acts; one action on one incident, once, for a day."""

    @pytest.mark.parametrize(
        ("action", "resolution"), [("close", "closed"), ("false-alarm", "false_alarm"), ("acknowledge", None)]
    )
    def test_a_get_shows_and_a_post_acts(
        self, running: RunningApp, watch: Watch, action: Action, resolution: str | None
    ) -> None:
        fire(running)
        page = running.http.get(link(action, watch))
        assert page.status_code == 200
        assert "<button>" in page.text
        assert [kind for kind, _, _ in timeline(running)] == ["opened"]
        assert running.http.post(link(action, watch), data={"by": "li.wei"}).status_code == 200
        shown = running.http.get("/alerts/1").json()
        assert shown["resolution"] == resolution
        assert timeline(running)[-1][1] == "li.wei"

    def test_a_link_does_one_thing_with_one_incident(self, running: RunningApp, watch: Watch) -> None:
        fire(running, ("model", "deployment_failed"), ("airflow", "a", "b"))
        acknowledge = link("acknowledge", watch)
        for other in (acknowledge.replace("/acknowledge/1", "/close/1"), acknowledge.replace("/1?", "/2?")):
            assert running.http.post(other, data={"by": "x"}).status_code == 403

    def test_a_link_acts_once(self, running: RunningApp, watch: Watch) -> None:
        fire(running)
        close = link("close", watch)
        assert running.http.post(close, data={"by": "li.wei"}).status_code == 200
        act(running, "1/reopen", by="li.wei")
        again = running.http.post(close, data={"by": "li.wei"})
        assert again.status_code == 200
        assert "it changed nothing now" in again.text
        assert running.http.get("/alerts/1").json()["state"] == "open"

    def test_a_link_whose_action_failed_can_be_used_again(self, running: RunningApp, watch: Watch) -> None:
        fire(running)
        reopen = link("reopen", watch)
        assert running.http.post(reopen, data={"by": "li.wei"}).status_code == 409
        act(running, "1/close", by="li.wei")
        assert running.http.post(reopen, data={"by": "li.wei"}).status_code == 200
        assert running.http.get("/alerts/1").json()["state"] == "open"

    def test_a_link_expires_after_a_day(self, running: RunningApp, watch: Watch) -> None:
        fire(running)
        close = link("close", watch)
        watch.now += timedelta(hours=24, seconds=1)
        assert running.http.get(close).status_code == 403
        assert running.http.post(close, data={"by": "x"}).status_code == 403


def test_an_incident_shows_deployments_runs_and_policy_edits_of_the_hour_before(stepped: SteppedGateway) -> None:
    def passed(point: str, **tags: str) -> None:
        name = tuple(point.split("."))
        stepped.fire(signal(name, stepped.watch.now, kind="recovered", monitoring_point=point, tags=tags))

    passed("model.deployment_failed", model_name="ranker", model_version="11")
    stepped.watch.forward(minutes=61)
    passed("model.deployment_failed", model_name="ranker", model_version="12")
    passed("airflow.task_failed", dag_id="recommendation_pipeline", task_id="train", run_id="nightly-7")
    stepped.watch.forward(minutes=5)
    stepped.fire(signal(("api", "unhandled"), stepped.watch.now))
    found = [(each.kind, each.subject) for each in detail_of(stepped.gateway.storage, 1).changes_before]
    assert found == [("deployment", "ranker 12"), ("run", "recommendation_pipeline nightly-7")]
