"""Recorded webhooks of a real Alertmanager, with restarts and losses, are notified once.

`data/alertmanager-webhooks.jsonl.gz` was recorded by `make prove ONLY=alertmanager`; `data/README.md` says how.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from notification_gateway.tables import incidents, notifications
from notification_gateway.webhooks import alertmanager
from running_gateway import SIMULATED, TOKEN, SteppedGateway, Watch, app_of, settings
from servicekit.bearer import Access
from servicekit.tokens import KnownToken, Tokens
from testkit.alert_episodes import BEGINNINGS, Message, expect, judge
from testkit.recorded_webhooks import RecordedWebhook, read_webhooks
from testkit.running_app import RunningApp
from wechat_simulator.server import SimulatorServer

RECORD = Path(__file__).parent / "data" / "alertmanager-webhooks.jsonl.gz"
POLICY = """
defaults: {error: P1, warning: P2, info: none}
rules:
  - name: Alertmanager
    priority: P1
    conditions: [{fingerprint: [alertmanager, "**"]}]
    actions: [{alert: immediate, channel: weixin}]
"""
# Long enough for the messages of all ends.
AFTERWARDS = timedelta(minutes=5)
STEP = timedelta(seconds=2)


class Replay:
    """A gateway that takes webhooks at the times at which they were recorded, and delivers every two seconds."""

    def __init__(self, stepped: SteppedGateway, entrance: RunningApp) -> None:
        self._stepped = stepped
        self._entrance = entrance
        self._next_delivery = stepped.watch.now

    def take(self, webhook: RecordedWebhook) -> None:
        self.wait_until(webhook.received)
        self._entrance.post("/webhooks/alertmanager", webhook.body, token=TOKEN).raise_for_status()

    def wait_until(self, moment: datetime) -> None:
        while self._next_delivery <= moment:
            self._stepped.watch.now = self._next_delivery
            self._stepped.deliver()
            self._next_delivery += STEP
        self._stepped.watch.now = moment


def entrance_of(stepped: SteppedGateway) -> RunningApp:
    gateway = stepped.gateway
    app = FastAPI()
    access = Access(Tokens(KnownToken.of_setting("GATEWAY_TOKEN", SecretStr(TOKEN), "signals")))
    app.include_router(alertmanager.router(gateway.alerts.intake, access, "test", stepped.watch, gateway.metrics))
    return RunningApp(app)


@pytest.fixture(scope="module")
def recorded() -> list[RecordedWebhook]:
    return read_webhooks(RECORD)


@pytest.fixture(scope="module")
def webhooks(recorded: list[RecordedWebhook]) -> list[RecordedWebhook]:
    """The accepted webhooks, as if processing took no time."""
    return [replace(each, answered=each.received) for each in recorded if each.outcome == "accepted"]


@pytest.fixture(scope="module")
def replayed(webhooks: list[RecordedWebhook], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedGateway]:
    """A gateway that has processed all recorded webhooks."""
    folder = tmp_path_factory.mktemp("replayed")
    policy = folder / "alerts.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    watch = Watch(webhooks[0].received)
    with SimulatorServer.on_free_port(SIMULATED, clock=watch) as simulator:
        configured = settings(f"sqlite:///{folder}/recsys.db", alert_policy=policy, **app_of(simulator.url))
        stepped = SteppedGateway(configured, watch)
        with entrance_of(stepped) as entrance:
            replay = Replay(stepped, entrance)
            for webhook in webhooks:
                replay.take(webhook)
            replay.wait_until(watch.now + AFTERWARDS)
        yield stepped
        stepped.close()


def messages(replayed: SteppedGateway) -> list[Message]:
    names = {row["id"]: row["fingerprint"][-1] for row in replayed.rows(incidents)}
    return [
        Message(names[row["incident_id"]], row["kind"], row["created_at"], row["sent_at"])
        for row in replayed.rows(notifications)
        if row["incident_id"] is not None and row["kind"] in (*BEGINNINGS, "resolved") and row["state"] == "sent"
    ]


def test_hundreds_of_webhooks_with_losses_restarts_and_reminders_are_recorded(
    recorded: list[RecordedWebhook],
) -> None:
    outcomes = Counter(each.outcome for each in recorded)
    assert outcomes["accepted"] >= 500
    assert outcomes["withheld"] >= 10
    expected = expect(recorded)
    assert len(expected.episodes) >= 300
    assert expected.reminders >= 300
    assert any(each.contradicted for each in expected.ends)


def test_each_episode_and_each_lasting_end_is_notified_once(
    webhooks: list[RecordedWebhook], replayed: SteppedGateway
) -> None:
    verdict = judge(webhooks, messages(replayed))
    assert (verdict.not_notified, verdict.ends_not_notified, verdict.unfounded) == ([], [], [])
    assert verdict.notified > verdict.with_pending
    assert {row["state"] for row in replayed.rows(notifications)} == {"sent"}


def test_an_incident_ends_only_when_alertmanager_says_so(
    webhooks: list[RecordedWebhook], replayed: SteppedGateway
) -> None:
    newest = {row["fingerprint"][-1]: row for row in replayed.rows(incidents)}
    still_open = {fingerprint for fingerprint, row in newest.items() if row["state"] == "open"}
    assert still_open == expect(webhooks).still_firing
    assert {row["resolution"] for row in replayed.rows(incidents)} == {"recovered", None}
