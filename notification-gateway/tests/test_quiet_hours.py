"""Quiet hours of a rule: its immediate messages wait until they end, and nothing is lost."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_gateway.policy.loading import PolicyError, parse_policy
from notification_gateway.policy.quiet_hours import DAYS, QuietHours
from notification_gateway.tables import notifications
from running_gateway import SteppedGateway, Wechat, robot_of, signal

Make = Callable[..., SteppedGateway]

# The watch of the tests starts on a Monday at 12:00:30 UTC, 20:00:30 in Shanghai.
POLICY = """defaults: {{error: P2, warning: P2, info: none}}
escalation: {{after_minutes: 15, channels: [weixin]}}
rules:
  - name: urgent
    priority: P0
    conditions: [{{category: model, level: error, rate: "> 2 per hour"}}]
    actions: [{{alert: immediate, channel: weixin}}]
  - name: nightly
    priority: {priority}
    conditions: [{{category: model}}]
    actions: [{{alert: immediate, channel: weixin}}]
    quiet_hours: {quiet}
"""
QUIET = '{from: "20:00", to: "07:00", timezone: Asia/Shanghai}'


def with_policy(
    step_with: Make, folder: Path, wechat: Wechat, quiet: str = QUIET, priority: str = "P1"
) -> SteppedGateway:
    path = folder / "alerts.yaml"
    path.write_text(POLICY.format(quiet=quiet, priority=priority), encoding="utf-8")
    return step_with(alert_policy=path, **robot_of(wechat.url))


def test_a_message_waits_until_the_quiet_hours_end(wechat: Wechat, step_with: Make, tmp_path: Path) -> None:
    stepped = with_policy(step_with, tmp_path, wechat)
    stepped.fire(signal())
    stepped.deliver()
    stepped.watch.forward(hours=10, minutes=59)
    stepped.deliver()
    assert wechat.contents == []
    stepped.watch.forward(minutes=1)
    stepped.deliver()
    assert len(wechat.contents) == 1


def test_outside_of_quiet_hours_a_message_goes_at_once(wechat: Wechat, step_with: Make, tmp_path: Path) -> None:
    stepped = with_policy(step_with, tmp_path, wechat, '{from: "21:00", to: "07:00", timezone: Asia/Shanghai}')
    stepped.fire(signal())
    stepped.deliver()
    assert len(wechat.contents) == 1


def test_an_incident_that_opened_and_ended_in_quiet_hours_is_notified_in_order_afterwards(
    wechat: Wechat, step_with: Make, tmp_path: Path
) -> None:
    stepped = with_policy(step_with, tmp_path, wechat)
    stepped.fire(signal())
    stepped.watch.forward(minutes=5)
    stepped.fire(signal(kind="recovered", at=stepped.watch.now))
    for _ in range(3):
        stepped.deliver()
        stepped.watch.forward(hours=6)
    stepped.deliver()
    assert [("已恢复" in text) for text in wechat.contents] == [False, True]


def test_an_incident_that_becomes_more_urgent_in_quiet_hours_is_notified_at_once(
    wechat: Wechat, step_with: Make, tmp_path: Path
) -> None:
    stepped = with_policy(step_with, tmp_path, wechat)
    stepped.fire(signal(occurrences=2))
    stepped.deliver()
    assert wechat.contents == []
    stepped.fire(signal())
    stepped.deliver()
    assert len(wechat.contents) == 1
    assert "P0" in wechat.contents[0]
    stepped.fire(signal())
    stepped.watch.forward(hours=12)
    stepped.deliver()
    assert len(wechat.contents) == 1


def test_an_escalation_counts_from_the_end_of_quiet_hours(wechat: Wechat, step_with: Make, tmp_path: Path) -> None:
    quiet = QUIET.replace("}", ", hold_p0: true}")
    stepped = with_policy(step_with, tmp_path, wechat, quiet, "P0")
    stepped.fire(signal())
    stepped.watch.forward(hours=10, minutes=59)
    stepped.gateway.alerts.escalation.escalate()
    stepped.watch.forward(minutes=1)
    stepped.deliver()
    stepped.watch.forward(minutes=14)
    stepped.gateway.alerts.escalation.escalate()
    assert [row["kind"] for row in stepped.rows(notifications)] == ["opened"]
    stepped.watch.forward(minutes=1)
    stepped.gateway.alerts.escalation.escalate()
    assert [row["kind"] for row in stepped.rows(notifications)] == ["opened", "escalated"]


def hours(**fields: Any) -> QuietHours:
    given = {"from": "22:00", "to": "07:00", "timezone": "Asia/Shanghai"} | fields
    return QuietHours.model_validate(given)


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-01-05T13:59:59", None),
        ("2026-01-05T14:00:00", "2026-01-05T23:00:00"),
        ("2026-01-05T18:00:00", "2026-01-05T23:00:00"),
        ("2026-01-05T22:59:59", "2026-01-05T23:00:00"),
        ("2026-01-05T23:00:00", None),
    ],
)
def test_quiet_hours_past_midnight_end_the_next_morning(at: str, until: str | None) -> None:
    found = hours().until(datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert found == (None if until is None else datetime.fromisoformat(until).replace(tzinfo=UTC))


def test_days_are_the_days_on_which_quiet_hours_begin() -> None:
    quiet = hours(timezone="UTC", days=["Fri", "sat"])
    friday = datetime(2026, 1, 9, 23, tzinfo=UTC)
    assert [quiet.until(friday + timedelta(days=day)) is not None for day in (-1, 0, 1, 2)] == [
        False,
        True,
        True,
        False,
    ]
    # The early morning of Sunday belongs to Saturday's.
    assert quiet.until(datetime(2026, 1, 11, 6, 59, tzinfo=UTC)) == datetime(2026, 1, 11, 7, tzinfo=UTC)


def test_quiet_hours_end_by_local_time_when_clocks_change() -> None:
    quiet = hours(timezone="Europe/Berlin")
    # In the night to 2026-03-29 an hour is left out, in the night to 2026-10-25 one comes twice.
    assert quiet.until(datetime(2026, 3, 28, 22, tzinfo=UTC)) == datetime(2026, 3, 29, 5, tzinfo=UTC)
    assert quiet.until(datetime(2026, 10, 24, 22, tzinfo=UTC)) == datetime(2026, 10, 25, 6, tzinfo=UTC)
    twice = hours(timezone="Europe/Berlin", **{"from": "02:15", "to": "02:45"})
    assert twice.until(datetime(2026, 10, 25, 0, 20, tzinfo=UTC)) == datetime(2026, 10, 25, 0, 45, tzinfo=UTC)


@given(
    st.integers(0, 10 * 366 * 86_400).map(
        lambda seconds: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    ),
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.sampled_from(["UTC", "Asia/Shanghai", "America/St_Johns", "Australia/Lord_Howe"]),
    st.sets(st.sampled_from(DAYS), min_size=1),
)
def test_the_end_of_quiet_hours_is_in_the_future_and_within_a_day_and_a_clock_change(
    at: datetime, begin: int, end: int, zone: str, days: set[str]
) -> None:
    if begin == end:
        return
    times = {name: f"{minutes // 60:02}:{minutes % 60:02}" for name, minutes in (("from", begin), ("to", end))}
    until = hours(timezone=zone, days=sorted(days), **times).until(at)
    assert until is None or at < until <= at + timedelta(hours=25)


@pytest.mark.parametrize(
    ("quiet", "priority", "advice"),
    [
        (QUIET, "P0", "hold_p0: true"),
        ('{from: 22:00, to: "07:00", timezone: UTC}', "P1", "put a text in quotes"),
        ('{from: "24:00", to: "07:00", timezone: UTC}', "P1", "write a time of day"),
        ('{from: "22:00", to: "7:00", timezone: UTC}', "P1", "write a time of day"),
        ('{from: "٢٢:00", to: "07:00", timezone: UTC}', "P1", "write a time of day"),
        ('{from: "22:00", to: "22:00", timezone: UTC}', "P1", "the same time"),
        ('{from: "22:00", to: "07:00", timezone: Mars/Olympus}', "P1", "no time zone"),
        ('{from: "22:00", to: "07:00", timezone: ../../etc/passwd}', "P1", "no time zone"),
        ('{from: "22:00", to: "07:00"}', "P1", "timezone"),
        ('{from: "22:00", timezone: UTC}', "P1", "to"),
        ('{from: "22:00", to: "07:00", timezone: UTC, days: []}', "P1", "days"),
        ('{from: "22:00", to: "07:00", timezone: UTC, days: [someday]}', "P1", "days"),
        ('{from: "22:00", to: "07:00", timezone: UTC, until: x}', "P1", "until"),
        ("22:00-07:00", "P1", "quiet_hours"),
    ],
)
def test_invalid_quiet_hours_are_rejected_with_their_line(quiet: str, priority: str, advice: str) -> None:
    with pytest.raises(PolicyError) as error:
        parse_policy(POLICY.format(quiet=quiet, priority=priority), "p.yaml")
    assert {problem.line for problem in error.value.problems} == {12}
    assert advice in str(error.value)


def test_quiet_hours_of_a_rule_without_immediate_messages_are_rejected() -> None:
    text = POLICY.format(quiet=QUIET, priority="P1").replace(
        "actions: [{alert: immediate, channel: weixin}]\n    quiet",
        "actions: [{alert: hourly_summary, channel: email}]\n    quiet",
    )
    with pytest.raises(PolicyError, match=r"p.yaml:12: .*no such action"):
        parse_policy(text, "p.yaml")
