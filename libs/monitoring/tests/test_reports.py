"""A report is sent with exactly the catalogue's fingerprint, level and tags, and the rest in its context."""

import logging
from typing import NoReturn

import pytest

import monitoring
from monitoring import catalogue
from monitoring.catalogue import Point
from monitoring.testing import captured
from testkit.fake_server import FakeServer

POINTS = [*catalogue.load_reported()]


class PlannedError(Exception):
    """Raised on purpose."""


def fail(text: str) -> NoReturn:
    raise PlannedError(text)


def raised(text: str = "it broke") -> PlannedError:
    try:
        fail(text)
    except PlannedError as error:
        return error


def fields_of(point: Point) -> dict[str, object]:
    """A value for every field that the point's tags and fingerprint name, `<field> value`."""
    names = {*point.tags, *point.open_parts} - {"exception"}
    return {name: f"{name} value" for name in names}


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.id)
def test_every_point_carries_its_fingerprint_level_tags_and_message(point: Point) -> None:
    with captured() as reports:
        monitoring.report(point.id, error=raised(), extra="context", **fields_of(point))
    (report,) = reports
    expected = [
        "PlannedError" if part == "<exception>" else f"{part[1:-1]} value" if part[0] == "<" else part
        for part in point.fingerprint
    ]
    assert list(report.fingerprint) == expected
    assert report.level == point.level
    tags = {name: f"{name} value" for name in point.tags}
    assert report.tags == {"service": "test", "monitoring_point": point.id} | tags
    assert report.message.startswith(point.id)
    assert "PlannedError: it broke" in report.message
    assert report.context["extra"] == "context"


@pytest.mark.parametrize(
    ("point_id", "fields", "level"),
    [
        ("pipeline.data_quality", {"check_name": "c", "severity": "critical"}, "error"),
        ("pipeline.data_quality", {"check_name": "c", "severity": "warning"}, "warning"),
        ("pipeline.data_quality", {"check_name": "c", "severity": "info"}, "info"),
        ("pipeline.model_training", {"model_name": "m", "issue_type": "training_failed"}, "error"),
        ("pipeline.model_training", {"model_name": "m", "issue_type": "overfitting"}, "warning"),
    ],
)
def test_the_level_follows_the_field_that_the_catalogue_names(point_id: str, fields: dict, level: str) -> None:
    with captured() as reports:
        monitoring.report(point_id, **fields)
    assert reports[0].level == level


def test_facts_become_tags_and_fill_what_the_caller_left_out() -> None:
    with (
        captured() as reports,
        monitoring.bound_context(request_id="req_1", endpoint="/similar", dataset_id=7, user_id=None),
    ):
        monitoring.report("api.unhandled", error=raised(), method="GET")
    assert reports[0].tags == {
        "service": "test", "monitoring_point": "api.unhandled",
        "request_id": "req_1", "endpoint": "/similar", "dataset_id": "7", "method": "GET",
    }  # fmt: skip
    assert reports[0].fingerprint == ("api", "/similar", "PlannedError")


def test_the_callers_fields_win_over_facts() -> None:
    with captured() as reports, monitoring.bound_context(request_id="req_1", model_version="6"):
        monitoring.report("model.source_not_found", model_name="ranker", model_version="7", source="s3://b")
    assert reports[0].tags["model_version"] == "7"


def test_the_error_type_is_known_from_the_error() -> None:
    with captured() as reports:
        monitoring.report("redis.connection_failed", error=ConnectionRefusedError(111, "refused"), redis_host="h")
    assert reports[0].tags["error_type"] == "ConnectionRefusedError"


def test_breadcrumbs_of_the_request_go_along() -> None:
    with captured() as reports, monitoring.bound_context(request_id="req_1"):
        monitoring.breadcrumb("Redis fallback failed", category="fallback", level="warning", key="last:1")
        monitoring.report("fallback.redis_failed", degrade_reason="redis_unavailable")
    (crumb,) = reports[0].breadcrumbs
    assert (crumb.message, crumb.category, crumb.level, dict(crumb.data)) == (
        "Redis fallback failed", "fallback", "warning", {"key": "last:1"},
    )  # fmt: skip


def test_tags_are_one_line_of_at_most_200_characters() -> None:
    with captured() as reports:
        monitoring.report("model.source_not_found", source="a\nb" + "c" * 300, model_version=1.50, model_name="")
    tags = reports[0].tags
    assert tags["source"].startswith("a bccc")
    assert len(tags["source"]) == 200
    assert tags["model_version"] == "1.5"
    assert "model_name" not in tags


def test_captured_fails_on_a_report_without_a_part_of_its_fingerprint() -> None:
    with pytest.raises(AssertionError, match=r"pipeline\.data_quality was reported without check_name"), captured():
        monitoring.report("pipeline.data_quality", severity="info")


def test_captured_fails_on_a_point_that_is_not_in_the_catalogue() -> None:
    with pytest.raises(AssertionError, match=r"'redis\.exploded' is no monitoring point"), captured():
        monitoring.report("redis.exploded")
    with pytest.raises(AssertionError, match=r"'redis\.exploded' is no monitoring point"), captured():
        monitoring.recovered("redis.exploded")


def test_captured_keeps_every_repeat_and_the_recoveries() -> None:
    with captured() as reports:
        for _ in range(3):
            monitoring.report("fallback.redis_failed", endpoint="/similar")
        monitoring.recovered("redis.connection_failed")
    assert reports.point_ids == ["fallback.redis_failed"] * 3
    assert [report.point_id for report in reports.recovered] == ["redis.connection_failed"]


def test_in_production_a_missing_part_is_unknown_and_logged_once(
    on: FakeServer, until, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        monitoring.report("pipeline.database", error=raised(), database="business")
    until(lambda: on.events)
    assert on.events[0]["fingerprint"] == ["database", "business", "unknown", "PlannedError"]
    complaints = [record for record in caplog.records if record.name == "monitoring.runtime"]
    assert [record.getMessage() for record in complaints] == [
        "pipeline.database was reported without operation, which its fingerprint needs"
    ]


def test_in_production_an_unknown_point_is_logged_and_nothing_raises(
    on: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert monitoring.report("redis.exploded") is None
    monitoring.recovered("redis.exploded")
    assert "'redis.exploded' is no monitoring point of the catalogue" in caplog.text


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_report_sends_what_it_can_of_things_that_cannot_be_shown(on: FakeServer) -> None:
    odd = Unprintable()
    assert monitoring.report(
        "pipeline.database", error=ValueError(odd), operation=odd, database=odd, details={odd: odd}
    )
    monitoring.flush(5)
    shown = "<Unprintable without a text>"
    assert on.events[0]["fingerprint"] == ["database", shown, shown, "ValueError"]
    assert on.signals[0]["fingerprint"] == ["database", shown, shown, "ValueError"]


class Hostile(str):
    """A text whose very comparison fails."""

    __slots__ = ()
    __hash__ = None


def test_report_never_raises_whatever_it_is_given(on: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    assert monitoring.report(Hostile("redis.connection_failed")) is None
    monitoring.recovered(Hostile("redis.connection_failed"))
    assert "monitoring failed to report redis.connection_failed" in caplog.text


def test_without_a_dsn_and_a_gateway_reports_go_to_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="monitoring"):
        monitoring.init("tested", monitoring.MonitoringSettings(sentry_dsn=None, gateway_url=None))
        assert monitoring.report("redis.connection_failed", error=raised()) is None
        monitoring.recovered("redis.connection_failed")
        monitoring.flush()
    assert [record.getMessage() for record in caplog.records] == [
        "SENTRY_DSN is not set: tested sends no events to a collector",
        "redis.connection_failed: PlannedError: it broke",
    ]
