"""The report of a run: made at its end, also when a step has failed, and posted to the notification gateway."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from math import isfinite

import monitoring
from contracts.run_reports import MAX_CHECKS, MAX_STEPS, REFRESH_PAGE, RunCheck, RunChecks, RunStep
from pipeline.artifacts import join, writing
from pipeline.errors import NothingToDoError
from pipeline.publish import put_checks, put_report
from pipeline.run_report import ReportContent, RunFailure, gather, render
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings

FOLDER, FILE = "report", "report.html"
_ORDER = ("critical", "warning", "info", "ok")
_log = logging.getLogger(__name__)


@contextmanager
def reported(settings: Settings, run: str) -> Iterator[None]:
    """Report the run at the end of a block, whether it passes or raises; not if there is nothing to train."""
    try:
        yield
    except NothingToDoError:
        raise
    except Exception:
        report_run(settings, run)
        raise
    report_run(settings, run)


def report_run(settings: Settings, run: str, failed_step: str | None = None) -> str | None:
    """Write `report/` and post it; of refreshes only those that failed. What fails here is reported, and fails no run.

    Returns the address of the posted page, None if none was posted.

    `failed_step` is a step that is known to have failed, even if its process could not say so.
    """
    try:
        report, page = _write(run, failed_step)
        if settings.gateway_url and _is_posted(report):
            return _post(settings, report, page)
    except Exception as error:  # noqa: BLE001 - the steps below have reported it, and a page about a run is not the run
        _log.warning("the report of the run is incomplete: %s", error)
    return None


@monitor_pipeline_step("report", critical=False)
def _write(run: str, failed_step: str | None) -> tuple[ReportContent, bytes]:
    report = gather(run)
    if failed_step and report.failure is None:
        report = report.with_failure(RunFailure(step=failed_step))
    page = render(report, datetime.now(UTC))
    with writing(join(run, FOLDER)) as folder:
        (folder / FILE).write_bytes(page)
    _log.info("report: %s", join(run, FOLDER, FILE))
    return report, page


def _is_posted(report: ReportContent) -> bool:
    # The gateway keeps a bounded number of pages, and hourly ones would push out those of the nights.
    return report.info.kind != "refresh" or report.failure is not None


@monitor_pipeline_step("post_report", critical=False)
def _post(settings: Settings, report: ReportContent, page: bytes) -> str:
    is_refresh = report.info.kind == "refresh"
    # Of the refreshes that fail on one day, the last one has the page.
    name = f"{REFRESH_PAGE}{datetime.now(UTC):%Y-%m-%d}" if is_refresh else report.run
    # Alerts of the run carry this id, and so the gateway finds the report of an incident.
    run_id = str(monitoring.current_context().get("run_id") or report.info.run_id or report.run)
    url = put_report(
        settings.gateway_url or "",
        settings.gateway_token,
        name,
        page,
        run_id=run_id,
        outcome="failed" if report.failure else "succeeded",
    )
    if (report.checks or report.steps) and not is_refresh:
        put_checks(settings.gateway_url or "", settings.gateway_token, report.run, _checks_of(report))
    _log.info("report: %s", url)
    return url


def _checks_of(report: ReportContent) -> RunChecks:
    """Return the durations of the steps, and the checks that have finite numbers, the worst first: they are limited."""
    finite = (
        RunCheck(check=each.check, severity=each.severity, value=each.value, threshold=each.threshold)
        for each in report.checks
        if each.value is not None and each.threshold is not None and isfinite(each.value) and isfinite(each.threshold)
    )
    steps = [RunStep(step=each.step, seconds=each.seconds) for each in report.steps if each.seconds is not None]
    checks = sorted(finite, key=lambda each: _ORDER.index(each.severity))[:MAX_CHECKS]
    return RunChecks(checks=checks, steps=steps[:MAX_STEPS])
