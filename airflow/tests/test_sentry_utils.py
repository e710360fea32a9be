"""Steps and issues are reported as the catalogue says, and reporting doesn't affect the pipeline."""

import asyncio
import inspect
import subprocess
import sys
from typing import Any, NoReturn

import pytest

from monitoring.testing import captured
from pipeline.sentry_utils import (
    FirstSeen,
    monitor_pipeline_step,
    track_data_quality_issue,
    track_database_issue,
    track_feature_store_sync_issue,
    track_model_training_issue,
)


class StepError(Exception):
    """Raised on purpose."""


@monitor_pipeline_step("train")
def train(rows: int, *, seed: int = 1) -> float:
    """Train a model."""
    if rows < 0:
        raise StepError("too few rows")
    return rows / seed


@monitor_pipeline_step("report", critical=False)
async def render(rows: int) -> str:
    """Render a report."""
    await asyncio.sleep(0)
    if rows < 0:
        raise StepError("nothing to render")
    return str(rows)


def test_a_step_returns_its_result_and_reports_nothing() -> None:
    with captured() as reports:
        assert train(6, seed=2) == 3.0
        assert asyncio.run(render(6)) == "6"
    assert reports == []


def test_a_step_keeps_its_name_signature_and_kind() -> None:
    assert train.__name__ == "train"
    assert train.__doc__ == "Train a model."
    assert str(inspect.signature(train)) == "(rows: int, *, seed: int = 1) -> float"
    assert not inspect.iscoroutinefunction(train)
    assert inspect.iscoroutinefunction(render)


def test_a_critical_step_that_raises_is_an_error_and_the_exception_passes_on() -> None:
    with captured() as reports, pytest.raises(StepError, match="too few rows") as raised:
        train(-1)
    (report,) = reports
    assert report.point_id == "pipeline.critical_step_failed"
    assert report.level == "error"
    assert report.fingerprint == ("pipeline", "train", "StepError")
    assert report.error is raised.value
    assert report.tags["step_name"] == "train"
    assert report.tags["critical"] == "true"
    assert float(report.tags["duration_seconds"]) >= 0


def test_a_coroutine_step_that_raises_is_reported_too() -> None:
    with captured() as reports, pytest.raises(StepError):
        asyncio.run(render(-1))
    (report,) = reports
    assert (report.point_id, report.level) == ("pipeline.step_failed", "warning")
    assert report.tags["critical"] == "false"


def test_breadcrumbs_show_the_steps_before_the_failed_one() -> None:
    @monitor_pipeline_step("extract")
    def extract() -> None:
        return

    def run() -> NoReturn:
        extract()
        train(-1)
        raise AssertionError("the step before raises")

    with captured() as reports, pytest.raises(StepError):
        run()
    assert [(crumb.message, crumb.data["step_name"]) for crumb in reports[0].breadcrumbs[-3:]] == [
        ("step started", "extract"),
        ("step completed", "extract"),
        ("step started", "train"),
    ]


def test_an_error_that_passes_through_several_steps_is_reported_once() -> None:
    @monitor_pipeline_step("all")
    def everything() -> None:
        train(-1)

    with captured() as reports, pytest.raises(StepError):
        everything()
    assert [report.tags["step_name"] for report in reports] == ["train"]


@pytest.mark.parametrize(("severity", "level"), [("critical", "error"), ("warning", "warning"), ("info", "info")])
def test_data_quality(severity: str, level: str) -> None:
    with captured() as reports:
        track_data_quality_issue("null_share", severity, {"column": "price"}, metric_value=0.25, threshold=0.1)
    (report,) = reports
    assert (report.point_id, report.level) == ("pipeline.data_quality", level)
    assert report.fingerprint == ("data_quality", "null_share")
    assert report.tags["metric_value"] == "0.25"
    assert report.tags["threshold"] == "0.1"
    assert report.context["details"] == {"column": "price"}


@pytest.mark.parametrize(
    ("severity", "tag", "level"),
    [
        ("CRITICAL", "critical", "error"),
        ("Fatal", "critical", "error"),
        ("error", "critical", "error"),
        ("P0", "critical", "error"),
        ("high", "critical", "error"),
        ("Warn", "warning", "warning"),
        ("Notice", "info", "info"),
        ("none", "info", "info"),
        ("debug", "info", "info"),
    ],
)
def test_severities_are_accepted_in_any_case_and_as_synonyms(severity: str, tag: str, level: str) -> None:
    with captured() as reports:
        track_data_quality_issue("null_share", severity, "details")
    (report,) = reports
    assert (report.tags["severity"], report.level) == (tag, level)


@pytest.mark.parametrize("severity", ["dreadful", "", "\ud800", "x" * 5000, None, 3])
def test_an_unknown_severity_is_an_error_and_logged_once(
    severity: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sentry_utils._unknown_severities", FirstSeen(10))
    with captured() as reports:
        for _ in range(3):
            track_data_quality_issue("null_share", severity, "details")
    assert [report.level for report in reports] == ["error"] * 3
    (logged,) = caplog.messages
    assert logged.startswith("check null_share: severity ")
    assert len(logged) < 250


def test_the_memory_for_words_is_limited() -> None:
    words = FirstSeen(2)
    assert [words.is_first(each) for each in "abcab"] == [True, True, False, False, False]


@pytest.mark.parametrize("issue_type", ["training_failed", "Training_Failed", "training-failed", "TRAINING FAILED"])
def test_a_failed_training_is_an_error_in_any_spelling(issue_type: str) -> None:
    with captured() as reports:
        track_model_training_issue("ranker", issue_type, "details")
    assert [(report.level, report.fingerprint[2]) for report in reports] == [("error", "training_failed")]


@pytest.mark.parametrize(("issue_type", "level"), [("training_failed", "error"), ("poor_metrics", "warning")])
def test_model_training(issue_type: str, level: str) -> None:
    with captured() as reports:
        track_model_training_issue("ranker", issue_type, "worse than popularity", metrics={"ndcg": 0.05})
    (report,) = reports
    assert (report.point_id, report.level) == ("pipeline.model_training", level)
    assert report.fingerprint == ("model_training", "ranker", issue_type)
    assert report.message == f"pipeline.model_training [ranker / {issue_type}]: worse than popularity"
    assert report.context["metrics"] == {"ndcg": 0.05}


def test_feature_store_sync() -> None:
    with captured() as reports:
        track_feature_store_sync_issue("write_users", ConnectionError("reset"), 50, total_count=200)
        track_feature_store_sync_issue("write_users", ConnectionError("reset"), 50)
    known, unknown = reports
    assert (known.point_id, known.level) == ("pipeline.feature_store_sync", "error")
    assert known.fingerprint == ("feature_store", "write_users", "ConnectionError")
    assert (known.tags["affected_count"], known.tags["total_count"], known.tags["failure_rate"]) == (
        "50",
        "200",
        "0.25",
    )
    assert "failure_rate" not in unknown.tags


def test_database() -> None:
    error = TimeoutError("statement timeout")
    with captured() as reports:
        track_database_issue("extract_users", "business", error, query_info={"rows": 0})
    (report,) = reports
    assert (report.point_id, report.level) == ("pipeline.database", "error")
    assert report.fingerprint == ("database", "business", "extract_users", "TimeoutError")
    assert report.error is error
    assert report.context["query_info"] == {"rows": 0}


_UNSTARTED = """
from pipeline.sentry_utils import *

@monitor_pipeline_step("sample")
def step():
    return "done"

track_data_quality_issue("check", "warning", "details")
track_data_quality_ok("check")
print(step(), step())
"""


@pytest.mark.parametrize(
    ("before", "warnings"), [("", 1), ("import monitoring\nmonitoring.init('s', monitoring.MonitoringSettings())", 0)]
)
def test_trackers_without_init_warn_exactly_once_and_do_their_job(before: str, warnings: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", before + _UNSTARTED], capture_output=True, text=True, timeout=60, check=True, env={}
    )
    assert ran.stdout == "done done\n"
    expected = "track_data_quality_issue reports nothing: monitoring.init() was not called in this process\n"
    assert ran.stderr.count(expected) == warnings
    assert ran.stderr.count("monitoring.init()") == warnings


def test_a_tracker_inside_a_capture_does_not_warn(caplog: pytest.LogCaptureFixture) -> None:
    with captured():
        track_data_quality_issue("check", "warning", "details")
    assert "monitoring.init()" not in caplog.text
