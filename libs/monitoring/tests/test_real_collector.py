"""A real Sentry-compatible collector stores, groups and finds what is sent, also what waited for it."""

from typing import Any
from uuid import uuid4

import pytest

import monitoring
from monitoring import MonitoringSettings, catalogue
from testkit.collector import CollectorProcess, normal


@pytest.fixture
def settings(collector: CollectorProcess, tmp_path) -> MonitoringSettings:
    return MonitoringSettings(sentry_dsn=collector.dsn, sentry_environment="test", spool_dir=tmp_path)


def events_with(collector: CollectorProcess, **tags: str) -> list[dict[str, Any]]:
    """Return the events with these tags. The collector's API cannot search by tag, so this reads all events."""
    every = [normal(event) for issue in collector.issues() for event in collector.events(issue["id"])]
    return [event for event in every if tags.items() <= event["tags"].items()]


def test_every_point_is_stored_with_its_fingerprint_level_tags_and_breadcrumbs(
    collector: CollectorProcess, settings: MonitoringSettings
) -> None:
    monitoring.init("tested", settings)
    request_id = f"req_{uuid4().hex[:12]}"
    for point in catalogue.load_core():
        with monitoring.bound_context(request_id=request_id):
            for crumb in point.breadcrumbs:
                monitoring.breadcrumb(crumb, category=point.category)
            fields = {name: f"{name} value" for name in {*point.tags, *point.open_parts} - {"exception"}}
            monitoring.report(point.id, error=LookupError("planned"), **fields)
    monitoring.flush(30)
    monitoring.shutdown()
    stored = {event["tags"]["monitoring_point"]: event for event in events_with(collector, request_id=request_id)}
    assert len(stored) == len(catalogue.load_core().points)
    for point in catalogue.load_core():
        event = stored[point.id]
        assert event["level"] == point.level
        assert len(event["fingerprint"]) == len(point.fingerprint)
        assert event["tags"].keys() >= {"service", "monitoring_point", "request_id", *point.tags}
        assert [crumb["message"] for crumb in event["breadcrumbs"]] == list(point.breadcrumbs)
        assert event["contexts"][point.component]["occurrences"] == 1
        assert event["logentry"]["formatted"].startswith(point.id)


def test_events_of_one_point_with_distinct_texts_are_one_issue_that_names_the_point(
    collector: CollectorProcess, settings: MonitoringSettings
) -> None:
    monitoring.init("tested", settings)
    name = uuid4().hex
    for number in range(3):
        monitoring.report(
            "pipeline.feature_store_sync", error=OSError(f"attempt {number}"), operation=name, affected_count=number
        )
        monitoring.recovered("pipeline.feature_store_sync", operation=name)
    monitoring.report("pipeline.data_quality", check_name=name, severity="warning", details="too many nulls")
    monitoring.shutdown()
    found = [
        issue
        for issue in collector.issues()
        if any(normal(event)["tags"].get("operation") == name for event in collector.events(issue["id"]))
    ]
    assert [(issue["calculated_type"], issue["calculated_value"], issue["transaction"]) for issue in found] == [
        ("OSError", "attempt 2", "pipeline.feature_store_sync")
    ]
    titles = [issue["calculated_value"] for issue in collector.issues()]
    assert f"pipeline.data_quality [{name}]: too many nulls" in titles


def test_what_was_reported_while_the_collector_was_down_is_there_once_it_is_back(
    collector: CollectorProcess, settings: MonitoringSettings
) -> None:
    run = uuid4().hex
    collector.stop()
    try:
        monitoring.init("tested", settings)
        ids = [
            monitoring.report("pipeline.database", error=OSError(), operation=f"read {number}", database=run)
            for number in range(20)
        ]
    finally:
        collector.start()
    monitoring.flush(60)
    monitoring.shutdown()
    found = [event["event_id"].replace("-", "") for event in events_with(collector, database=run)]
    assert sorted(found) == sorted(ids)
