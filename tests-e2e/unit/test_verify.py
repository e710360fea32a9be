"""The verdicts of `make verify`: every way in which an event can be wrong is a ✗."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monitoring import catalogue
from monitoring.catalogue import Point, open_part
from notification_gateway.policy.loading import load_policy
from testkit.collector import CollectorProcess
from verify.alerts import Alert, Key, intended_alerts
from verify.collector import Arrived
from verify.fault_lab import TOKEN, FaultLab
from verify.faults import FAULTS, Raised
from verify.settings import Settings
from verify.table import table
from verify.verdicts import Verdict, grouped, judge

POINT = catalogue.load_core().by_id()["pipeline.database"]
RAISED = Raised("pipeline")
GOOD: dict[str, Any] = {
    "timestamp": "2026-03-01T00:00:00Z",
    "level": "error",
    "fingerprint": ["database", "business", "extract", "OSError"],
    "exception": {"values": [{"type": "OSError"}]},
    "tags": {
        "service": "pipeline",
        "monitoring_point": POINT.id,
        "database": "business",
        "operation": "extract",
    },
    "contexts": {"pipeline": {"occurrences": 1, "first_seen": "", "last_seen": ""}},
}
SHOWN: dict[str, Any] = {
    "priority": "P0",
    "service": "pipeline",
    "fingerprint": GOOD["fingerprint"],
    "parent_id": None,
    "silence_id": None,
    "notifications": [{"state": "suppressed", "channel": "weixin"}],
}
POLICY_FILE = Path(__file__).parents[2] / "deploy" / "alerts.yaml"
POLICY = load_policy(POLICY_FILE)
# The alert of each point by the shipped policy: with its rates not exceeded, and exceeded.
AT_ONCE, HOURLY, DAILY, NONE = "P0 weixin at once", "P1 email hourly", "P2 dashboard daily", "none"
ALERTS = {
    "redis.connection_failed": HOURLY,
    "redis.unexpected_error": HOURLY,
    "model.registry_parse_failed": DAILY,
    "model.source_not_found": HOURLY,
    "model.deployment_failed": AT_ONCE,
    "model.not_converged": HOURLY,
    "model.rollout_needs_decision": HOURLY,
    "fallback.precomputed_load_failed": (DAILY, HOURLY),
    "fallback.redis_failed": (DAILY, HOURLY),
    "fallback.precomputed_used": NONE,
    "fallback.static_popular_used": (DAILY, HOURLY),
    "pipeline.critical_step_failed": HOURLY,
    "pipeline.step_failed": DAILY,
    "pipeline.data_quality": DAILY,
    "pipeline.model_training": DAILY,
    "pipeline.feature_store_sync": HOURLY,
    "pipeline.database": AT_ONCE,
    "pipeline.dag_import_failed": AT_ONCE,
    "pipeline.no_recent_run": AT_ONCE,
    "pipeline.feature_store_stale": HOURLY,
    "pipeline.feature_store_lag": HOURLY,
    "pipeline.feature_skew": HOURLY,
    "weixin.get_access_token_failed": DAILY,
    "weixin.send_message_failed": DAILY,
    "gateway.channel_failed": HOURLY,
    "gateway.email_failed": "P1 weixin at once",
    "gateway.unreadable_alert": HOURLY,
    "api.startup_failed": HOURLY,
    "api.unhandled": HOURLY,
    "api.similar_timeout": HOURLY,
    "api.similar_failed": HOURLY,
    "api.detail_timeout": HOURLY,
    "api.detail_failed": HOURLY,
    "api.background_failed": HOURLY,
    "api.unavailable": AT_ONCE,
    "airflow.task_failed": AT_ONCE,
}


def arrived(issue: str = "issue-1", **changes: Any) -> Arrived:
    return Arrived(GOOD | changes, issue, 0.1, "https://collector.example/1")


def wrong(*events: Arrived, raised: Raised = RAISED, alerts: Mapping[Key, Alert] | None = None) -> list[str]:
    return judge(POINT, raised, events, alerts, POLICY).wrong


def alerted(**changes: Any) -> dict[Key, Alert]:
    alert = Alert(SHOWN | changes, "https://gateway.example/dashboard/incident/1")
    return {alert.key: alert}


def test_the_faults_raise_every_point_of_the_catalogue_once() -> None:
    raised = [point for fault in FAULTS for point in fault.raises]
    assert sorted(raised) == sorted(point.id for point in catalogue.load_reported())


def test_an_event_as_in_the_catalogue_is_good() -> None:
    verdict = judge(POINT, RAISED, [arrived(), arrived()], alerted(), POLICY)
    assert (verdict.wrong, str(verdict.intended), verdict.issues) == ([], AT_ONCE, 1)
    lines = table([verdict], {POINT.id: RAISED}).splitlines()
    assert lines[1].endswith(AT_ONCE)
    assert [line.strip() for line in lines[2:4]] == ["https://collector.example/1", alerted().popitem()[1].link]
    assert lines[-1] == "✓ 1 of 1 points"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"level": "warning"}, "level warning, not error"),
        ({"fingerprint": ["database", "business", "extract"]}, "fingerprint"),
        ({"fingerprint": ["database", "other", "extract", "OSError"]}, "fingerprint"),
        ({"tags": GOOD["tags"] | {"service": "elsewhere"}}, "it came from elsewhere"),
        ({"tags": {k: v for k, v in GOOD["tags"].items() if k != "operation"}}, "no tag operation"),
        ({"contexts": {}}, "no occurrences, first_seen, last_seen in the context pipeline"),
    ],
)
def test_each_deviation_from_the_catalogue_is_named(changes: dict[str, Any], said: str) -> None:
    assert said in "; ".join(wrong(arrived(**changes)))


def test_a_missing_event_is_the_only_fault() -> None:
    verdict = judge(POINT, RAISED, [], {})
    assert verdict.wrong == ["no event arrived"]
    assert table([verdict], {POINT.id: RAISED}).splitlines()[-1] == "✗ 0 of 1 points"


def test_an_event_of_a_request_carries_its_id() -> None:
    assert wrong(arrived(), raised=Raised("pipeline", in_request=True)) == ["no tag request_id"]


def test_a_point_whose_events_are_two_issues_is_not_grouped() -> None:
    assert wrong(arrived("issue-1"), arrived("issue-2")) == ["2 events of 1 fingerprints are 2 issues"]


def test_points_that_share_an_issue_are_not_grouped() -> None:
    other = catalogue.load_core().by_id()["redis.connection_failed"]
    one = judge(POINT, RAISED, [arrived()], None)
    assert grouped([one, Verdict(other, [arrived("issue-2", fingerprint=["redis", "connection_failed"])])])
    assert not grouped([one, Verdict(other, [arrived("issue-1", fingerprint=["redis", "connection_failed"])])])


def test_the_gateway_must_have_the_incident_and_notify_no_one() -> None:
    assert wrong(arrived(), alerts={}) == ["the gateway has no alert of this run"]
    sent = [{"state": "sent", "channel": "weixin"}]
    assert wrong(arrived(), alerts=alerted(notifications=sent)) == ["the gateway notified people"]


def test_the_alert_must_be_that_of_the_policy() -> None:
    assert wrong(arrived(), alerts=alerted(priority="P2")) == [f"the alert is P2, but by the policy {AT_ONCE}"]
    assert wrong(arrived(), alerts=alerted(notifications=[])) == ["no message was made for weixin"]
    # A symptom of another incident has no message of its own, and a silenced one has none at all.
    assert wrong(arrived(), alerts=alerted(notifications=[], parent_id=1)) == []
    assert wrong(arrived(), alerts=alerted(notifications=[], silence_id=1)) == []


@pytest.mark.parametrize("point", list(catalogue.load_reported()), ids=lambda point: point.id)
def test_each_point_has_its_alert_by_the_shipped_policy(point: Point) -> None:
    service = next(fault.raises[point.id].service for fault in FAULTS if point.id in fault.raises)
    event = {
        "fingerprint": ["any" if open_part(part) else part for part in point.fingerprint],
        "level": point.level,
        "tags": {"service": service},
    }
    found = dict.fromkeys(map(str, intended_alerts(POLICY, point, arrived(**event))))
    expected = ALERTS[point.id]
    assert tuple(found) == (expected if isinstance(expected, tuple) else (expected,))


@pytest.mark.timeout(360)
def test_a_run_leaves_the_stacks_own_project_as_it_was(collector: CollectorProcess, tmp_path: Path) -> None:
    before = collector.issues()
    gateway = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/gateway.db",
        "ALERT_POLICY": str(POLICY_FILE),
        "GATEWAY_TOKEN": TOKEN,
    }
    settings = Settings(collector_url=collector.base_url, collector_token=collector.token)
    with FaultLab(tmp_path, "1", settings, collector.dsn).service("notification_gateway", gateway) as side:
        variables = {
            "COLLECTOR_URL": collector.base_url,
            "COLLECTOR_TOKEN": collector.token,
            "GATEWAY_URL": str(side.http.base_url).rstrip("/"),
            "GATEWAY_TOKEN": TOKEN,
            "ALERT_POLICY": str(POLICY_FILE),
        }
        done = subprocess.run(
            [sys.executable, "-m", "verify", "--only", "api.startup_failed", "--wait", "120"],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        (incident,) = side.get("/alerts").json()["alerts"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert HOURLY in done.stdout
    assert f"{variables['GATEWAY_URL']}/dashboard/incident/{incident['id']}" in done.stdout
    assert f"{collector.base_url}/issues/issue/" in done.stdout
    assert collector.issues() == before
    assert [issue["project"] for issue in collector.issues_of("verify")] == [2]
