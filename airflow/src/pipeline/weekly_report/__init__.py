"""One HTML page about a week of the pipeline: its runs, deployments and data findings."""

from pipeline.weekly_report.make import make_weekly_report
from pipeline.weekly_report.week import Week, last_week, parse_week

__all__ = ["Week", "last_week", "make_weekly_report", "parse_week"]
