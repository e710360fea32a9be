"""An unacknowledged P0 is escalated; people acknowledge by API or by the signed link in the message."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from notification_gateway.app import create_app
from notification_gateway.messages.links import Links
from notification_gateway.tables import incidents, notifications
from running_gateway import ADMIN, TOKEN, SteppedGateway, Watch, settings, signal
from testkit.running_app import RunningApp


def sent_kinds(stepped: SteppedGateway) -> list[tuple[str, str]]:
    return [(row["kind"], row["channel"]) for row in stepped.rows(notifications)]


def keep_alive(stepped: SteppedGateway, minutes: int) -> None:
    for _ in range(minutes):
        stepped.pass_time(minutes=1)
        stepped.fire(signal(at=stepped.watch.now))


def test_an_unacknowledged_p0_is_escalated_once_by_both_channels(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    keep_alive(stepped, 14)
    assert sent_kinds(stepped) == [("opened", "weixin")]
    keep_alive(stepped, 30)
    assert sent_kinds(stepped) == [("opened", "weixin"), ("escalated", "weixin"), ("escalated", "email")]


def test_an_acknowledged_incident_is_not_escalated_and_the_first_name_counts(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    for by in ("li.wei", "someone else"):
        stepped.gateway.alerts.actions.acknowledge(1, by)
    keep_alive(stepped, 20)
    assert sent_kinds(stepped) == [("opened", "weixin")]
    assert stepped.rows(incidents)[0]["acknowledged_by"] == "li.wei"


def test_p1_and_verify_are_not_escalated_to_people(stepped: SteppedGateway) -> None:
    stepped.fire(signal(("redis", "unexpected_error")), signal(environment="verify"))
    for _ in range(20):
        stepped.pass_time(minutes=1)
        stepped.fire(signal(at=stepped.watch.now, environment="verify"))
    assert {row["state"] for row in stepped.rows(notifications)} == {"suppressed"}


def test_a_higher_priority_needs_a_new_acknowledgement(stepped: SteppedGateway) -> None:
    stepped.fire(signal(("airflow", "daily", "train"), level="warning"))
    stepped.gateway.alerts.actions.acknowledge(1, "li.wei")
    stepped.fire(signal(("airflow", "daily", "train"), stepped.watch.now))
    assert stepped.rows(incidents)[0]["acknowledged_at"] is None


class TestOverHttp:
    """By API with the admin token, and by the signed link without one."""

    @pytest.fixture
    def running(self, sqlite_url: str, watch: Watch) -> Iterator[RunningApp]:
        with RunningApp(create_app(settings(sqlite_url, weixin_robot_key="k"), clock=watch)) as running:
            body = {"signals": [signal().model_dump(mode="json")]}
            assert running.post("/signals", body, token=TOKEN).status_code == 202
            yield running

    @staticmethod
    def link(watch: Watch, incident_id: int = 1) -> str:
        links = Links("", "", "http://gateway.test", SecretStr(ADMIN))
        return links.action("acknowledge", incident_id, watch.now).removeprefix("http://gateway.test")

    @staticmethod
    def by(running: RunningApp) -> str | None:
        by: str | None = running.ask("/alerts")["alerts"][0]["acknowledged_by"]
        return by

    def test_the_api_acknowledges_only_with_the_admin_token(self, running: RunningApp) -> None:
        path, body = "/alerts/1/acknowledgement", {"by": "li.wei"}
        assert [running.post(path, body, token=token).status_code for token in (None, TOKEN)] == [401, 403]
        assert running.post(path, body, token=ADMIN).json()["acknowledged_by"] == "li.wei"
        assert running.post("/alerts/2/acknowledgement", body, token=ADMIN).status_code == 404

    def test_opening_the_link_changes_nothing_and_its_button_acknowledges(
        self, running: RunningApp, watch: Watch
    ) -> None:
        link = self.link(watch)
        assert "<button>" in running.http.get(link).text
        assert self.by(running) is None
        assert running.http.post(link, data={"by": "<b>li</b>"}).status_code == 200
        assert self.by(running) == "<b>li</b>"
        assert "&lt;b&gt;li" in running.http.get(link).text

    def test_a_forged_or_expired_link_or_one_of_another_incident_is_rejected(
        self, running: RunningApp, watch: Watch
    ) -> None:
        link = self.link(watch)
        forged = [link[:-1] + ("0" if link[-1] != "0" else "1"), self.link(watch).replace("/1?", "/2?")]
        forged.append(link.replace("until=", "until=9"))
        forged.append(link.partition("&signature")[0] + "&signature=")
        assert [running.http.post(each, data={"by": "x"}).status_code for each in forged] == [403] * 4
        watch.forward(days=7)
        assert running.http.post(link, data={"by": "x"}).status_code == 403
        assert self.by(running) is None
