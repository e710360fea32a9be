"""The verdicts of a soak run: each planted loss, false alarm, late alert or leak makes one fail."""

from copy import deepcopy
from typing import Any

import pytest

from soak.page import render_html, render_text
from soak.progress import Record
from soak.report import compute
from soak.script import KINDS, draw_deploys, draw_faults, draw_nights

BEGAN = 1_000_000.0
HOURS = 2
_SAMPLES = 240
_MB = 200.0


def sample(number: int) -> Record:
    at = BEGAN + number * HOURS * 3600 / _SAMPLES
    requests = number * 900
    program = {"pid": 11, "cpu": requests * 1e-3, "files": 20, "threads": 9, "connections": 4}
    return {
        "kind": "sample",
        "at": at,
        "fault": None,
        "fault_after": None,
        "requests": {"answered": requests, "degraded": 3, "failed": 0, "events": 50},
        "yardstick": {"done": number * 30, "cpu": number * 0.3},
        "programs": {"recommender": {**program, "memory_mb": _MB + number % 3}},
        "monitoring": {"recommender": {"pid": 11, "events_delivered": 4, "events_dropped": 0, "events_waiting": 0}},
        "rows": {"gateway.requests": 12},
        "bounds": [{"name": "event stream (MB)", "value": 3, "bound": 128}],
    }


def incident(number: int, point: str, opened: float, priority: str = "P0") -> Record:
    return {
        "kind": "incident",
        "at": opened + 5,
        "id": number,
        "point": point,
        "priority": priority,
        "opened": opened,
        "last_seen": opened,
        "resolved": None,
        "message": f"{point} <script>",
    }


def healthy_run() -> list[Record]:
    """Return the records of a run with a failed run, an outage of Redis and their alerts, and nothing else."""
    failed, outage = BEGAN + 600, BEGAN + 1800
    fault = {"kind": "fault", "must_raise": ["airflow.task_failed"], "may_raise": []}
    redis = {"kind": "fault", "must_raise": ["redis.connection_failed"], "may_raise": ["fallback.*"]}
    night = {"kind": "night", "command": "fail", "run_id": "1-run-failed", "error": None}
    counters = {"events_delivered": 2, "events_dropped": 0, "signals_dropped": 0}
    arrived = {"received": 6, "named_by_signals": 6, "missing": [], "behaviour_accepted": 50, "behaviour_stored": 50}
    return [
        {"kind": "began", "at": BEGAN, "seed": 7, "seconds": HOURS * 3600},
        {**fault, "name": "1-run-failed", "at": failed, "begins": failed, "ends": failed},
        incident(1, "airflow.task_failed", failed),
        {"kind": "message", "at": failed + 3, "received": failed + 2, "text": "1-run-failed /acknowledge/1?until=1"},
        {**redis, "name": "2-redis-killed", "at": outage, "begins": outage, "ends": outage + 20},
        incident(2, "redis.connection_failed", outage + 1, "P1"),
        incident(3, "fallback.redis_failed", outage + 2, "P1"),
        incident(4, "fallback.precomputed_used", BEGAN + 5000, "none"),
        {"kind": "mail", "at": outage + 1800, "received": outage + 1800, "text": "P1 redis.connection_failed"},
        {**night, "at": failed, "counters": counters, "waiting": {}},
        *(sample(number) for number in range(_SAMPLES)),
        {"kind": "arrived", "at": BEGAN + HOURS * 3600, **arrived},
    ]


def missed(records: list[Record]) -> set[str]:
    return {each.name for each in compute(records).results if not each.ok}


def of_kind(records: list[Record], kind: str) -> list[Record]:
    return [each for each in records if each["kind"] == kind]


def test_a_run_without_losses_meets_every_goal() -> None:
    report = compute(healthy_run())
    assert report.ok
    assert [each.alerted_after for each in report.faults] == [2.0, None]
    assert {each.name: each.value for each in report.results}["events lost"] == 0


def test_a_run_that_did_not_reach_its_end_is_not_ok() -> None:
    records = healthy_run()[:-1]
    assert not missed(records)
    assert not compute(records).ok
    assert "not at its end" in render_text(compute(records))


def test_a_mail_that_is_not_due_yet_is_not_lost() -> None:
    assert not missed([each for each in healthy_run()[:-1] if each["kind"] != "mail"])


def test_an_incident_of_the_start_is_no_false_alarm() -> None:
    assert not missed([*healthy_run(), incident(9, "api.unavailable", BEGAN - 1)])


def test_nothing_recorded_yet_is_a_report_too() -> None:
    assert not compute([]).ok
    assert render_text(compute([]))
    assert render_html(compute([]))


@pytest.mark.parametrize(
    "arrived", [{"missing": ["a" * 32]}, {"received": 5}], ids=["named by a signal", "counted as delivered"]
)
def test_an_event_that_is_not_in_the_collector_is_lost(arrived: dict[str, Any]) -> None:
    records = healthy_run()
    records[-1] |= arrived
    assert missed(records) == {"events lost"}


def test_counted_drops_are_losses_and_named() -> None:
    records = healthy_run()
    of_kind(records, "sample")[-1]["monitoring"]["recommender"]["events_dropped"] = 2
    assert missed(records) == {"events lost"}
    assert {each.name: each.value for each in compute(records).results}["events dropped or rejected, as counted"] == 2


def test_the_counts_of_a_killed_process_are_added_to_those_of_the_next() -> None:
    records = healthy_run()
    for each in of_kind(records, "sample")[100:]:
        each["monitoring"]["recommender"] |= {"pid": 12, "events_delivered": 1}
    assert missed(records) == {"events lost"}
    records[-1]["received"] += 1
    assert not missed(records)


def test_a_behaviour_event_that_is_not_stored_is_lost() -> None:
    records = healthy_run()
    records[-1]["behaviour_stored"] -= 1
    assert missed(records) == {"behaviour events lost"}


@pytest.mark.parametrize(
    ("kind", "point"), [("message", "airflow.task_failed"), ("mail", "redis.connection_failed")], ids=["P0", "P1"]
)
def test_an_alert_without_its_message_is_lost(kind: str, point: str) -> None:
    records = [each for each in healthy_run() if each["kind"] != kind]
    assert missed(records) == {"alerts lost"}
    assert f"LOST {point}: no message" in render_text(compute(records))


@pytest.mark.parametrize(
    "text", ["0-run-failed /acknowledge/1?until=1", "1-run-failed #1 Resolved", "/acknowledge/12?"]
)
def test_a_message_about_something_else_is_not_the_alert(text: str) -> None:
    records = healthy_run()
    of_kind(records, "message")[0]["text"] = text
    assert missed(records) == {"alerts lost"}


def test_a_fault_without_its_incident_is_a_lost_alert() -> None:
    records = [each for each in healthy_run() if each.get("id") != 2]
    assert missed(records) == {"alerts lost"}


@pytest.mark.parametrize(
    ("point", "at"),
    [("api.unhandled", 1805), ("airflow.task_failed", 3600), ("redis.connection_failed", 1700)],
    ids=["during another fault", "long after its fault", "before its fault"],
)
def test_an_incident_that_no_fault_explains_is_a_false_alarm(point: str, at: float) -> None:
    records = [*healthy_run(), incident(9, point, BEGAN + at)]
    assert missed(records) == {"false alarms"}
    assert f"false alarm: incident 9, {point}" in render_text(compute(records))


def test_an_alert_after_more_than_a_minute_misses_its_goal() -> None:
    records = healthy_run()
    of_kind(records, "message")[0]["received"] += 60
    assert missed(records) == {"P0 after, worst"}


def test_growing_memory_misses_its_goal() -> None:
    records = healthy_run()
    for number, each in enumerate(of_kind(records, "sample")):
        # 3 % an hour.
        each["programs"]["recommender"]["memory_mb"] = _MB * (1 + 0.03 * number * HOURS / _SAMPLES)
    assert missed(records) == {"memory of recommender"}


@pytest.mark.parametrize(("kept", "expected"), [(100, set()), (200, {"memory of Redis a behaviour event"})])
def test_redis_may_grow_by_what_users_do_alone(kept: int, expected: set[str]) -> None:
    records = healthy_run()
    for number, each in enumerate(of_kind(records, "sample")):
        each["requests"]["events"] = 500 * number
        each["programs"]["redis"] = {**each["programs"]["recommender"], "memory_mb": 10 + number}
        each["bounds"].append({"name": "Redis (MB)", "value": kept * 500 * number / 2**20, "bound": 512})
    of_kind(records, "arrived")[0] |= dict.fromkeys(("behaviour_accepted", "behaviour_stored"), 500 * 240)
    assert missed(records) == expected


def test_a_restart_is_not_a_leak() -> None:
    records = healthy_run()
    for each in of_kind(records, "sample")[120:]:
        each["programs"]["recommender"] |= {"pid": 12, "memory_mb": 2 * _MB}
    assert not missed(records)


def test_growing_cpu_per_request_misses_its_goal() -> None:
    records = healthy_run()
    for number, each in enumerate(of_kind(records, "sample")[180:]):
        each["programs"]["recommender"]["cpu"] += number * 900 * 1e-4
    assert missed(records) == {"CPU per request, last quarter to first, against fixed work"}


def test_a_machine_that_becomes_slower_is_no_growth() -> None:
    records = healthy_run()
    for number, each in enumerate(of_kind(records, "sample")[180:]):
        each["programs"]["recommender"]["cpu"] += number * 900 * 1e-4
        each["yardstick"]["cpu"] += number * 0.3 * 0.1
    assert not missed(records)


def test_a_table_above_its_bound_misses_its_goal() -> None:
    records = healthy_run()
    of_kind(records, "sample")[50]["bounds"][0]["value"] = 129
    assert missed(records) == {"things above their bound"}


def test_a_failed_request_misses_its_goal() -> None:
    records = healthy_run()
    of_kind(records, "sample")[-1]["requests"]["failed"] = 1
    assert missed(records) == {"requests that failed"}


def test_texts_of_the_run_are_escaped() -> None:
    page = render_html(compute(healthy_run()))
    assert "airflow.task_failed &lt;script&gt;" in page
    assert "<script" not in page


def test_the_same_seed_draws_the_same_faults() -> None:
    assert draw_faults(86_400, 7) == draw_faults(86_400, 7)
    assert draw_faults(86_400, 7) != draw_faults(86_400, 8)


@pytest.mark.parametrize("seconds", [36.0, 900.0, 86_400.0])
def test_faults_come_one_after_another_and_leave_time_at_the_end(seconds: float) -> None:
    faults = draw_faults(seconds, 3)
    ends = [each.at + each.hold for each in faults]
    assert all(end < after.at for end, after in zip(ends, faults[1:], strict=False))
    assert ends[-1] < seconds
    assert all(0 < at < seconds for at in (*draw_nights(seconds), *draw_deploys(seconds, 3)))
    if len(faults) > len(KINDS):
        assert {each.kind.name for each in faults} == {each.name for each in KINDS}


def test_a_run_is_not_changed_by_its_report() -> None:
    records = healthy_run()
    before = deepcopy(records)
    compute(records)
    assert records == before
