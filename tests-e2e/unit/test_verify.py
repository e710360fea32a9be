"""The verdicts of `make verify`: every way in which an event can be wrong is a ✗."""

from collections.abc import Mapping
from typing import Any

import pytest

from monitoring import catalogue
from verify.collector import Arrived
from verify.faults import FAULTS, Raised
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
ALERT = {("pipeline", *GOOD["fingerprint"]): {"priority": "P0", "notifications": [{"state": "suppressed"}]}}


def arrived(issue: str = "issue-1", **changes: Any) -> Arrived:
    return Arrived(GOOD | changes, issue, 0.1, "https://collector.example/1")


def wrong(*events: Arrived, raised: Raised = RAISED, alerts: Mapping[Any, Any] | None = None) -> list[str]:
    return judge(POINT, raised, events, alerts).wrong


def test_the_faults_raise_every_point_of_the_catalogue_once() -> None:
    raised = [point for fault in FAULTS for point in fault.raises]
    assert sorted(raised) == sorted(point.id for point in catalogue.load_reported())


def test_an_event_as_in_the_catalogue_is_good() -> None:
    verdict = judge(POINT, RAISED, [arrived(), arrived()], ALERT)
    assert (verdict.wrong, verdict.priority, verdict.issues) == ([], "P0", 1)
    assert table([verdict], {POINT.id: RAISED}).splitlines()[-1] == "✓ 1 of 1 points"


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
    assert wrong(arrived(), alerts={}) == ["the gateway has no alert"]
    notified = {key: alert | {"notifications": [{"state": "sent"}]} for key, alert in ALERT.items()}
    assert wrong(arrived(), alerts=notified) == ["the gateway notified people"]
