"""`alertctl replay`: who would have been notified under another policy."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from contracts.signals import AlertSignal
from notification_gateway.app import create_app
from notification_gateway.cli import main
from notification_gateway.policy.loading import load_policy
from notification_gateway.policy.model import Policy
from notification_gateway.replay.comparison import Difference, as_text, compare
from notification_gateway.replay.simulation import ReplayedNotification, simulate
from notification_gateway.replay.stored_signals import Position, StoredSignal
from notification_gateway.summaries.periods import Periods
from notification_gateway.tables import notifications, signals, summary_entries
from running_gateway import ADMIN, POLICY, SteppedGateway, Watch, settings, signal
from testkit.running_app import RunningApp

START = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
PERIODS = Periods(ZoneInfo("Asia/Shanghai"), 9)
SHIPPED = load_policy(POLICY)
DEPLOY = ("model", "deployment_failed")
FALLBACK = ("fallback", "redis_failed")
DATABASE = ("database", "business", "extract", "OperationalError")
TASK = ("airflow", "recommendation_pipeline", "extract")


def came(minutes: float, fingerprint: tuple[str, ...] = DEPLOY, **fields: object) -> StoredSignal:
    at = START + timedelta(minutes=minutes)
    return StoredSignal(received_at=at, signal=signal(fingerprint, at=at, **fields))


def degraded(minutes: float, **fields: object) -> StoredSignal:
    return came(minutes, FALLBACK, level="warning", **fields)


def replayed(stored: list[StoredSignal], policy: Policy = SHIPPED, since: float = 0) -> list[ReplayedNotification]:
    until = START + timedelta(days=8)
    return simulate(policy, stored, START + timedelta(minutes=since), until, PERIODS)


def ways(notified: list[ReplayedNotification]) -> Counter[tuple[str, str]]:
    return Counter((each.alert, each.channel) for each in notified)


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = POLICY.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "new.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_one_incident_is_one_message_and_its_recovery_another() -> None:
    stored = [came(0), came(3), came(200), came(201, kind="recovered")]
    assert ways(replayed(stored)) == {("opened", "weixin"): 1, ("resolved", "weixin"): 1}


def test_an_incident_that_ends_by_quiet_is_a_new_one_after_15_minutes() -> None:
    paged = edited_policy_for_fallbacks()
    assert ways(replayed([degraded(0), degraded(14)], paged))["opened", "weixin"] == 1
    assert ways(replayed([degraded(0), degraded(16)], paged))["opened", "weixin"] == 2
    # Within the pause in which an end is taken back.
    assert ways(replayed([degraded(0), degraded(15.2)], paged)) == {
        ("opened", "weixin"): 1,
        ("resolved", "weixin"): 1,
    }


def edited_policy_for_fallbacks() -> Policy:
    rule = {
        "name": "r",
        "conditions": [{"category": "fallback"}],
        "actions": [{"alert": "immediate", "channel": "weixin"}],
    }
    return Policy.model_validate({"defaults": {"error": "none"}, "rules": [rule]})


def test_an_incident_that_ends_by_recovery_stays_open_overnight() -> None:
    assert ways(replayed([came(0), came(600)])) == {("opened", "weixin"): 1}


def test_rates_are_counted_at_the_time_of_the_signal() -> None:
    burst = [degraded(minute) for minute in range(11)]
    spread = [degraded(minute * 10) for minute in range(11)]
    assert ("hourly_summary", "email") in ways(replayed(burst))
    assert ("hourly_summary", "email") not in ways(replayed(spread))
    assert ("hourly_summary", "email") in ways(replayed([degraded(0, occurrences=11)]))


def test_an_explained_incident_is_not_notified_at_once() -> None:
    paged = Policy.model_validate(
        {
            "defaults": {"error": "none"},
            "rules": [
                {
                    "name": "r",
                    # A P0 waits for no cause.
                    "priority": "P1",
                    "conditions": [{"category": "fallback"}, {"category": "redis"}],
                    "actions": [{"alert": "immediate", "channel": "weixin"}],
                }
            ],
        }
    )
    down = came(0.1, ("redis", "connection_failed"), level="warning")
    symptom_first = replayed([degraded(0), down, degraded(0.2)], paged)
    assert [each.fault.monitoring_point for each in symptom_first if each.alert == "opened"] == [
        "redis.connection_failed"
    ]
    assert ways(replayed([degraded(0), degraded(0.2)], paged))["opened", "weixin"] == 1


def test_another_run_is_notified_again() -> None:
    stored = [
        came(minute, ("airflow", "daily", "train"), monitoring_point="airflow.task_failed", tags={"run_id": run})
        for minute, run in ((0, "a"), (1, "a"), (2, "b"))
    ]
    assert ways(replayed(stored)) == {("opened", "weixin"): 1, ("repeated", "weixin"): 1}


def test_signals_before_the_time_only_set_the_state() -> None:
    stored = [degraded(minute) for minute in range(11)]
    assert {each.alert for each in replayed(stored, since=9.5)} == {"hourly_summary"}
    assert replayed([came(0), came(30)], since=10) == []


def test_signals_of_verify_and_of_broken_wechat_are_routed_as_in_the_gateway() -> None:
    assert replayed([came(0, environment="verify")]) == []
    rule = {
        "name": "r",
        "conditions": [{"category": "weixin"}],
        "actions": [{"alert": "immediate", "channel": "weixin"}],
    }
    policy = Policy.model_validate({"defaults": {"error": "none"}, "rules": [rule]})
    assert ways(replayed([came(0, ("weixin", "send_message_failed"))], policy)) == {("opened", "email"): 1}


def test_a_replay_of_the_current_policy_equals_what_the_gateway_did(stepped: SteppedGateway) -> None:
    for minute in range(0, 300, 5):
        stepped.pass_time(minutes=5)
        fired = [
            signal(FALLBACK, at=stepped.watch.now, level="warning", category="fallback", occurrences=minute % 7 + 1)
        ]
        if minute % 60 == 0:
            fired.append(signal(("redis", "connection_failed"), at=stepped.watch.now, level="warning"))
        if minute < 100:
            fired.append(signal(DEPLOY, at=stepped.watch.now))
        if minute == 200:
            for point, parts in (("pipeline.database", DATABASE), ("airflow.task_failed", TASK)):
                fired.append(signal(parts, at=stepped.watch.now, monitoring_point=point, tags={"run_id": "a"}))
        if minute == 210:
            recovery = {"monitoring_point": "pipeline.database", "kind": "recovered"}
            fired.append(signal(DATABASE, at=stepped.watch.now, **recovery))
        if minute == 150:
            fired.append(signal(DEPLOY, at=stepped.watch.now, kind="recovered"))
        stepped.fire(*fired)
    stored = [
        StoredSignal(received_at=row["received_at"], signal=AlertSignal.model_validate(row["body"]))
        for row in stepped.rows(signals)
    ]
    stored.sort(key=lambda each: each.received_at)
    counted = ways(simulate(SHIPPED, stored, START, stepped.watch.now, PERIODS))
    by_kind = Counter(row["kind"] for row in stepped.rows(notifications))
    # The deployment, the database, and the task that the database explained until it was back.
    assert counted["opened", "weixin"] == by_kind["opened"] == 3
    entries = [row for row in stepped.rows(summary_entries) if row["alert"] == "daily_digest"]
    digest = {(row["period_start"], row["incident_id"]) for row in entries}
    assert counted["daily_digest", "dashboard"] == len(digest)


def test_a_fault_that_is_no_longer_notified_is_a_difference() -> None:
    silent = Policy.model_validate({"defaults": {"error": "none"}})
    (difference,) = compare(replayed([came(0)]), replayed([came(0)], silent))
    assert isinstance(difference, Difference)
    assert difference.is_changed
    lines = list(as_text([difference]))
    assert lines[:3] == [
        "model / deployment_failed (model-registry, test)",
        "  - P0 'Critical Failures': opened by weixin ×1 (1 incident)",
        "  + no notification",
    ]
    assert lines[-1].split()[-3:] == ["1", "0", "-1"]


def test_a_position_is_read_as_it_was_written() -> None:
    position = Position(START + timedelta(microseconds=7), "a-b")
    assert Position.parse(str(position)) == position
    for odd in ("", "-", "x-y", "1_0-a", "9" * 19 + "-a"):
        with pytest.raises(ValueError, match=r"number|calendar"):
            Position.parse(odd)


@pytest.fixture
def running(database_url: str, watch: Watch) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(database_url), clock=watch)) as running:
        yield running


def fill(running: RunningApp, watch: Watch, *batches: list[AlertSignal]) -> None:
    for batch in batches:
        body = {"signals": [each.model_dump(mode="json") for each in batch]}
        assert running.post("/signals", body, token="the-gateway-token").status_code == 202
        watch.forward(minutes=1)


def pages(running: RunningApp, **asked: object) -> list[str]:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        parameters = {"since": "2026-01-05T00:00:00Z"} | {name: str(value) for name, value in asked.items()} | after
        answer = running.http.get("/signals", params=parameters, headers=headers)
        assert answer.status_code == 200, answer.text
        found += [each["signal"]["signal_id"] for each in answer.json()["signals"]]
        if answer.json()["next_after"] is None:
            return found
        after = {"after": answer.json()["next_after"]}


def test_stored_signals_are_listed_once_each_in_the_order_in_which_they_came(running: RunningApp, watch: Watch) -> None:
    batches = [[signal(at=watch.now, signal_id=f"{number}-{each}") for each in range(3)] for number in range(3)]
    fill(running, watch, *batches)
    expected = [each.signal_id for batch in batches for each in batch]
    for limit in (1, 2, 4, 9, 1000):
        assert pages(running, limit=limit) == expected
    assert pages(running, since="2026-01-05T12:01:00Z") == expected[3:]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-05T00:00:00"}, "since"),
        ({"since": "2026-01-05T00:00:00Z", "after": "x"}, "after"),
        ({"since": "2026-01-05T00:00:00Z", "after": "9" * 18 + "-a"}, "after"),
        ({"since": "2026-01-05T00:00:00Z", "limit": "0"}, "limit"),
        ({"since": "2026-01-05T00:00:00Z", "limit": "1001"}, "limit"),
    ],
)
def test_an_invalid_query_for_signals_names_its_field(running: RunningApp, asked: dict[str, str], field: str) -> None:
    answer = running.http.get("/signals", params=asked, headers={"Authorization": f"Bearer {ADMIN}"})
    assert answer.status_code == 422
    assert field in answer.text


@pytest.mark.parametrize(("token", "status"), [("", 401), ("the-gateway-token", 403), ("wrong", 401)])
def test_only_the_admin_token_opens_the_stored_signals(running: RunningApp, token: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = running.http.get("/signals", params={"since": "2026-01-05T00:00:00Z"}, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize("source", ["gateway", "database"])
def test_the_command_shows_what_would_change(
    running: RunningApp,
    watch: Watch,
    database_url: str,
    tmp_path: Path,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    many = [[signal(FALLBACK, at=watch.now, level="warning", category="fallback")] for _ in range(5)]
    fill(running, watch, *many, [signal(at=watch.now)])
    monkeypatch.setenv("GATEWAY_URL", running.url if source == "gateway" else "")
    monkeypatch.setenv("ADMIN_TOKEN", ADMIN)
    monkeypatch.setenv("DATABASE_URL", database_url)
    new = edited(tmp_path, ("> 10 per hour", "> 2 per hour"))
    command = ["replay", str(new), "--policy", str(POLICY), "--since", "2026-01-05T00:00:00Z"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "6 signals since 2026-01-05 00:00 UTC; 2 faults, of which 1 change"
    assert lines[1] == "fallback / redis_failed (model-registry, test)"
    assert lines[3].startswith("  + P1 'Degradation Events': hourly_summary by email ×1")
    assert main([*command, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert [each["changed"] for each in body["faults"]] == [True, False]
    assert body["signals"] == 6


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (["absent.yaml"], {}, 2, "absent.yaml:1: cannot be read"),
        ([str(POLICY), "--since", "soon"], {}, 2, "--since"),
        ([str(POLICY), "--since", "0d"], {}, 2, "--since"),
        ([str(POLICY), "--since", "2999-01-01T00:00:00Z"], {}, 2, "--since"),
        ([str(POLICY), "--since", "99999d"], {}, 2, "--since"),
        ([str(POLICY)], {}, 2, "GATEWAY_URL"),
        ([str(POLICY)], {"GATEWAY_URL": "ftp://x", "ADMIN_TOKEN": "t"}, 2, "GATEWAY_URL or ADMIN_TOKEN"),
        ([str(POLICY)], {"GATEWAY_URL": "http://127.0.0.1:1", "ADMIN_TOKEN": "t"}, 3, "can't be reached"),
        ([str(POLICY)], {"GATEWAY_URL": "http://127.0.0.1:1", "ADMIN_TOKEN": ""}, 2, "GATEWAY_URL or ADMIN_TOKEN"),
        ([str(POLICY)], {"DATABASE_URL": "sqlite:////nowhere/x.db"}, 2, "there is no file"),
        ([str(POLICY)], {"DATABASE_URL": "x"}, 2, "DATABASE_URL"),
        ([str(POLICY)], {"DATABASE_URL": "postgresql+psycopg2://u:hush-hush@127.0.0.1:1/x"}, 3, "can't be read"),
    ],
)
def test_a_usage_error_is_one_line_with_its_exit_code(
    arguments: list[str],
    environment: dict[str, str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("GATEWAY_URL", "ADMIN_TOKEN", "DATABASE_URL"):
        monkeypatch.setenv(name, environment.get(name, ""))
    assert main(["replay", *arguments, "--policy", str(POLICY)]) == code
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1
    assert "hush-hush" not in complaint


def test_a_mistake_in_the_new_policy_is_named_with_its_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = edited(tmp_path, ("priority: P0", "priority: P9"))
    assert main(["replay", str(new), "--policy", str(POLICY)]) == 1
    assert capsys.readouterr().err.startswith(f"{new}:25: rules.1.priority")
