"""One HTML page about a run, also about one that failed: what was checked, measured and built, and what went wrong."""

from pipeline.run_report.content import ReportContent, gather
from pipeline.run_report.failure import RunFailure, record_failure
from pipeline.run_report.page import MAX_PAGE_BYTES, render

__all__ = ["MAX_PAGE_BYTES", "ReportContent", "RunFailure", "gather", "record_failure", "render"]
