"""Summaries add up: their numbers are the sums of the signals routed to them, whatever arrives and when."""

import random
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contracts.signals import AlertSignal
from notification_gateway.outbox.notice import Notice
from notification_gateway.policy.loading import parse_policy
from notification_gateway.policy.matching import Subject, matches
from notification_gateway.policy.model import Condition, Policy
from notification_gateway.silences import queries as silences
from notification_gateway.silences.model import Matcher
from notification_gateway.summaries.periods import Periods
from notification_gateway.tables import digests, incidents
from running_gateway import SteppedGateway, Watch, settings, signal

POLICY = """
defaults: {error: P1, warning: P2, info: none}
rules:
  - name: Urgent
    priority: P0
    conditions: [{fingerprint: [urgent, "*"]}]
    actions: [{alert: immediate, channel: weixin}, {alert: daily_digest, channel: dashboard}]
  - name: Often
    priority: P1
    conditions:
      - {category: fallback, rate: "> 10 per hour"}
      - {fingerprint: [slow, "*"], rate: "> 3 per minute"}
    actions: [{alert: hourly_summary, channel: email}]
  - name: Very often
    priority: P1
    conditions:
      - {fingerprint: [slow, "*"], rate: "> 20 per hour"}
      - {fingerprint: [both, "*"]}
    actions: [{alert: hourly_summary, channel: email}, {alert: hourly_summary, channel: weixin}]
  - name: Broken channel
    priority: P2
    conditions: [{fingerprint: [weixin, "*"]}]
    actions: [{alert: hourly_summary, channel: weixin}, {alert: hourly_summary, channel: email}]
"""
KINDS = ("urgent", "fallback", "slow", "both", "weixin", "plain")
Route = tuple[str, str]
Period = tuple[str, str, datetime]


@dataclass
class Counted:
    """A signal and its routes, for the expected sums."""

    signal: AlertSignal
    minute: datetime
    silenced: bool
    missed: set[Condition]
    routes: set[Route] = field(default_factory=set)


class Expected:
    """The expected sums of each summary, computed from the signals alone."""

    def __init__(self, policy: Policy, stepped: SteppedGateway) -> None:
        self.policy = policy
        # As the test sets them.
        self.periods = Periods(ZoneInfo("UTC"), 9)
        self.history: list[Counted] = []
        self.unsilenced: Counter[Period] = Counter()
        self.silenced: Counter[Period] = Counter()

    def add(self, given: AlertSignal, now: datetime, *, silenced: bool) -> None:
        mine = Counted(given, min(given.last_seen, now).replace(second=0, microsecond=0), silenced, set())
        self.history.append(mine)
        exceeded, actions = None, None
        for rule in self.policy.rules:
            for condition in rule.conditions:
                if actions is not None or not matches(condition, Subject.of(given)):
                    continue
                if condition.rate is not None and self._rate(condition, now, given) <= condition.rate.threshold:
                    mine.missed.add(condition)
                    continue
                exceeded, actions = (condition if condition.rate else None), rule.actions
        if actions is None:
            level = self.policy.default_priority(given.level)
            routes = {"P1": {("hourly_summary", "email")}, "P2": {("daily_digest", "dashboard")}}.get(level, set())
        else:
            routes = {(each.alert, each.channel) for each in actions if each.alert != "immediate"}
        if given.category == "weixin":
            routes = {(alert, "email" if channel == "weixin" else channel) for alert, channel in routes}
        self._count(mine, routes, now)
        if exceeded is not None and exceeded.rate is not None:
            for each in self.history:
                if each.minute > now - exceeded.rate.window and exceeded in each.missed:
                    each.missed.discard(exceeded)
                    self._count(each, routes, now)

    def _rate(self, condition: Condition, now: datetime, given: AlertSignal) -> int:
        assert condition.rate is not None
        return sum(
            each.signal.occurrences
            for each in self.history
            if each.signal.environment == given.environment
            and each.minute > now - condition.rate.window
            and matches(condition, Subject.of(each.signal))
        )

    def _count(self, counted: Counted, routes: set[Route], now: datetime) -> None:
        for alert, channel in routes - counted.routes:
            period = (alert, channel, self.periods.start(alert, now))  # type: ignore[arg-type]
            (self.silenced if counted.silenced else self.unsilenced)[period] += counted.signal.occurrences
        counted.routes |= routes


def some_signal(dice: random.Random, now: datetime, faults: int) -> AlertSignal:
    kind = dice.choice(KINDS)
    late = dice.choice([0, 0, 0, 0, 5, 61, 240])
    return signal(
        (kind, f"fault_{dice.randrange(faults)}"),
        now - timedelta(minutes=late, seconds=dice.randrange(60)),
        level=dice.choice(["error", "warning", "warning", "info"]),
        service=dice.choice(["api", "sync"]),
        occurrences=dice.choice([1, 1, 1, 2, 7]),
    )


def check_adds_up(content: dict[str, Any], notice: Notice) -> None:
    listed = sum(row["occurrences"] for row in content["rows"])
    assert content["occurrences"] == listed + content["more"]["occurrences"] == sum(content["by_time"])
    counted = sum(row["incidents"] for row in content["rows"])
    assert content["incidents"] == counted + content["more"]["incidents"]
    lines = {line.label: line.value for line in notice.lines}
    assert notice.chart is not None
    assert notice.chart.values == tuple(content["by_time"])
    assert lines["次数 Times"] == str(content["occurrences"])
    assert lines["事件 Incidents"] == str(content["incidents"])
    assert f"】{content['incidents']} 个事件 incidents" in notice.title
    said = [int(number) for row in notice.paragraphs for number in re.findall(r"(?:· |（)(\d+) 次", row)[:1]]
    assert len(said) == len(notice.paragraphs)
    assert sum(said) == content["occurrences"]
    assert lines.get("其中早于本时段 Of these, before the period", "0") == str(content["earlier"])
    assert lines.get("另有静默 Silenced besides", "0").split(" ")[0] == str(content["silenced"])


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "faults"), [(1, 3), (2, 40), (3, 2)])
def test_title_lines_rows_and_chart_are_the_sum_of_the_signals(
    database_url: str, tmp_path: Path, watch: Watch, seed: int, faults: int
) -> None:
    dice = random.Random(seed)
    path = tmp_path / "alerts.yaml"
    path.write_text(POLICY, "utf-8")
    configured = settings(database_url, alert_policy=path, alert_timezone="UTC", alert_digest_hour=9)
    stepped = SteppedGateway(configured, watch)
    expected = Expected(parse_policy(POLICY, str(path)), stepped)
    silenced_until: datetime | None = None
    for _ in range(100):
        # Steps over the ends of hours and of the day, also while nothing runs.
        stepped.pass_time(seconds=dice.choice([1, 20, 20, 61, 600, 2400]))
        if dice.random() < 0.1:
            stepped.close()
            watch.forward(seconds=dice.choice([1, 4000]))
            stepped = SteppedGateway(configured, watch)
            stepped.pass_time()
        if dice.random() < 0.1 and (silenced_until is None or silenced_until <= watch.now):
            silenced_until = watch.now + timedelta(minutes=dice.choice([2, 30]))
            with stepped.gateway.storage.transaction() as connection:
                silences.add_silence(
                    connection,
                    Matcher(service="sync"),
                    watch.now,
                    silenced_until,
                    reason="r",
                    created_by="me",
                    now=watch.now,
                )
        if dice.random() < 0.05:
            stepped.gateway.alerts.summaries.send_now(dice.choice(["hourly_summary", "daily_digest"]))
        batch = [some_signal(dice, watch.now, faults) for _ in range(dice.randrange(1, 6))]
        assert stepped.fire(*batch) == (len(batch), 0)
        assert stepped.fire(batch[0]) == (0, 1)
        for each in batch:
            silenced = silenced_until is not None and watch.now < silenced_until and each.service == "sync"
            expected.add(each, watch.now, silenced=silenced)
        if dice.random() < 0.3:
            ended = dice.choice(batch)
            stepped.fire(signal(ended.fingerprint, watch.now, kind="recovered", service=ended.service))
    unsilenced: Counter[Period] = Counter()
    silenced_in: Counter[Period] = Counter()
    with stepped.gateway.storage.read() as connection:
        for running in stepped.gateway.alerts.summaries.preview_running(connection):
            unsilenced[running.kind, running.channel, running.period_start] += running.content.occurrences
            silenced_in[running.kind, running.channel, running.period_start] += running.content.silenced
            assert sum(running.content.by_time) == running.content.occurrences
    assert unsilenced
    stepped.pass_time(hours=30)
    unsilenced.clear()
    silenced_in.clear()
    for row in stepped.rows(digests):
        check_adds_up(row["content"], Notice.model_validate(row["notice"]))
        period = (row["alert"], row["channel"], row["period_start"])
        unsilenced[period] += row["content"]["occurrences"]
        silenced_in[period] += row["content"]["silenced"]
    assert +unsilenced == +expected.unsilenced
    assert +silenced_in == +expected.silenced
    assert sum(expected.silenced.values()) > 0
    # What GET /alerts shows is of the same signals.
    assert sum(row["occurrences"] for row in stepped.rows(incidents)) == sum(
        each.signal.occurrences for each in expected.history
    )
    stepped.close()


def the_hour(stepped: SteppedGateway) -> dict[str, Any]:
    (row,) = [each for each in stepped.rows(digests) if each["alert"] == "hourly_summary"]
    check_adds_up(row["content"], Notice.model_validate(row["notice"]))
    content: dict[str, Any] = row["content"]
    return content


def test_occurrences_before_a_rate_was_exceeded_count_when_it_is(stepped: SteppedGateway) -> None:
    for _ in range(12):
        stepped.pass_time(minutes=1)
        stepped.fire(
            signal(("fallback", "redis_failed"), stepped.watch.now, level="warning", service="recommender-api")
        )
    stepped.pass_time(minutes=50)
    assert the_hour(stepped)["occurrences"] == 12
    assert [row["occurrences"] for row in stepped.rows(incidents)] == [12]


def test_occurrences_of_the_hour_before_are_shown_as_earlier_and_limited_to_the_window(
    stepped: SteppedGateway,
) -> None:
    def warn(times: int) -> None:
        stepped.fire(signal(("fallback", "redis_failed"), stepped.watch.now, level="warning", occurrences=times))

    warn(1)
    stepped.pass_time(minutes=45)
    warn(8)
    stepped.pass_time(minutes=30)
    warn(4)
    stepped.pass_time(minutes=50)
    content = the_hour(stepped)
    assert (content["occurrences"], content["earlier"]) == (12, 8)
    assert content["by_time"][0] == 8


def test_more_faults_than_rows_are_counted_in_the_last_row(stepped: SteppedGateway) -> None:
    stepped.fire(*(signal(("api", f"path_{number}", "ValueError"), occurrences=2) for number in range(130)))
    stepped.pass_time(hours=1)
    content = the_hour(stepped)
    assert (content["incidents"], content["occurrences"], len(content["rows"])) == (130, 260, 100)
    assert content["more"] == {"incidents": 30, "occurrences": 60}


def test_a_late_signal_counts_in_the_hour_of_its_arrival_even_after_its_incident_ended(
    stepped: SteppedGateway,
) -> None:
    began = stepped.watch.now
    stepped.fire(signal(("api", "x", "ValueError"), began))
    stepped.fire(signal(("api", "x", "ValueError"), began, kind="recovered"))
    stepped.pass_time(hours=1)
    assert the_hour(stepped)["occurrences"] == 1
    stepped.fire(signal(("api", "x", "ValueError"), began - timedelta(seconds=5), occurrences=3))
    stepped.pass_time(hours=1)
    last = stepped.rows(digests)[-1]["content"]
    assert (last["occurrences"], last["earlier"]) == (3, 3)
    assert [row["occurrences"] for row in stepped.rows(incidents)] == [4]


def test_silenced_occurrences_are_a_number_and_alone_send_nothing(stepped: SteppedGateway) -> None:
    with stepped.gateway.storage.transaction() as connection:
        now = stepped.watch.now
        silences.add_silence(
            connection,
            Matcher(category="api"),
            now,
            now + timedelta(minutes=70),
            reason="r",
            created_by="me",
            now=now,
        )
    stepped.fire(signal(("api", "x", "ValueError"), occurrences=5), signal(("redis", "connection_failed")))
    stepped.pass_time(hours=1)
    content = the_hour(stepped)
    assert (content["incidents"], content["occurrences"], content["silenced"]) == (1, 1, 5)
    stepped.fire(signal(("api", "x", "ValueError"), stepped.watch.now))
    stepped.pass_time(hours=1)
    alone = stepped.rows(digests)[-1]
    assert (alone["content"]["occurrences"], alone["content"]["silenced"]) == (0, 1)
    assert alone["notification_id"] is None


def test_an_open_incident_that_is_reminded_of_is_named_with_no_occurrences(stepped: SteppedGateway) -> None:
    stepped.fire(signal(("redis", "connection_failed"), stepped.watch.now, level="warning"))
    for _ in range(26):
        stepped.pass_time(hours=1)
    first, reminded = (row for row in stepped.rows(digests) if row["alert"] == "hourly_summary")
    for row in (first, reminded):
        check_adds_up(row["content"], Notice.model_validate(row["notice"]))
    assert (first["content"]["incidents"], first["content"]["occurrences"]) == (1, 1)
    assert (reminded["content"]["incidents"], reminded["content"]["occurrences"]) == (1, 0)
    assert reminded["notification_id"] is not None
