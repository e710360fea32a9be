"""Renders a report as one self-contained page of bounded size; Jinja escapes every value."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from contracts.text import repair_text
from pipeline.run_report.charts import BarChart, bar_chart
from pipeline.run_report.content import CheckRow, ReportContent
from pipeline.run_report.metrics import MetricsTable, metrics_table
from pipeline.run_report.tables import BarSeries, Grid, blocks

_T = TypeVar("_T")
MAX_PAGE_BYTES = 2_000_000
MAX_COLUMNS = 40
_MAX_ROWS, _MIN_ROWS = 400, 1
_MAX_TEXT, _MIN_TEXT = 4_000, 60
_EXACT_INTEGERS = 2**53
# The worst first: what doesn't fit is cut at the end.
_ORDER = ("critical", "warning", "info", "ok")


@dataclass
class _Bounds:
    """How many rows a part shows and how long a text is, and what was left out."""

    rows: int = _MAX_ROWS
    text: int = _MAX_TEXT
    cuts: list[tuple[str, int, int]] = field(default_factory=list)
    cut_texts: int = 0

    def first(self, name: str, rows: Sequence[_T], most: int | None = None) -> Sequence[_T]:
        """Return the rows that are shown."""
        bound = self.rows if most is None else most
        if len(rows) > bound:
            self.cuts.append((name, bound, len(rows)))
        return rows[:bound]

    def last(self, name: str, rows: Sequence[_T]) -> Sequence[_T]:
        """Return the newest rows, of rows in the order of time."""
        if len(rows) > self.rows:
            self.cuts.append((name, self.rows, len(rows)))
        return rows[-self.rows :]

    def shown(self, value: Any) -> Any:
        """Return a value as its text; markup is already a text of the template's own."""
        if isinstance(value, Markup):
            return value
        text = _text(value)
        if len(text) > self.text:
            self.cut_texts += 1
        return repair_text(text, self.text)

    def halved(self) -> "_Bounds | None":
        """Return the next smaller bounds, None if there are none."""
        smaller = _Bounds(max(self.rows // 2, _MIN_ROWS), max(self.text // 2, _MIN_TEXT))
        return None if (smaller.rows, smaller.text) == (self.rows, self.text) else smaller


def render(report: ReportContent, now: datetime, max_bytes: int = MAX_PAGE_BYTES) -> bytes:
    """Return the page. If it would be larger than `max_bytes`, it shows fewer rows and shorter texts, and says so."""
    bounds: _Bounds | None = _Bounds()
    page = b""
    while bounds is not None:
        page = _render(report, now, bounds)
        if len(page) <= max_bytes:
            break
        bounds = bounds.halved()
    return page


def _render(report: ReportContent, now: datetime, bounds: _Bounds) -> bytes:
    templates = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=bounds.shown,
    )
    checks = sorted(report.checks, key=lambda check: _ORDER.index(check.severity))
    page = templates.get_template("report.html").render(
        report=report,
        now=now,
        seconds=_total(report),
        failing=bounds.first("failing checks", [each for each in checks if each.severity == "critical"]),
        counts=_counts(checks),
        steps=bounds.first("steps.json", report.steps),
        checks=bounds.first("clean/report.json", checks),
        profile=_shown_blocks(report.profile, "clean/profile.json", bounds),
        metrics=_shown_metrics(report, bounds),
        config=_shown_blocks(_keys_of(report), "config", bounds),
        evaluation=_shown_blocks(report.evaluation, "evaluation/evaluation.json", bounds),
        online=_shown_blocks(report.online, "feedback/online.json", bounds),
        feedback=_shown_blocks(report.feedback, "model/feedback.json", bounds),
        unreadable=bounds.first("unreadable files", report.unreadable),
        bounds=bounds,
        is_chart=lambda block: isinstance(block, BarChart),
    )
    return page.encode()


def _shown_blocks(value: Any, name: str, bounds: _Bounds) -> list[BarChart | Grid]:
    found: list[BarChart | Grid] = []
    for block in bounds.first(name, list(blocks(value)) if value else []):
        title = f"{name}: {block.title}" if block.title else name
        if isinstance(block, BarSeries):
            found.append(bar_chart(block.title, bounds.last(title, block.points)))
            continue
        columns = bounds.first(f"{title} (columns)", block.columns, MAX_COLUMNS)
        rows = [row[: len(columns) + 1] if columns else row for row in bounds.first(title, block.rows)]
        found.append(Grid(block.title, columns, rows))
    return found


def _keys_of(report: ReportContent) -> dict[str, Any]:
    """Return the configuration by the whole names of its keys, as errors and documents name them."""
    config = report.manifest.config if report.manifest else None
    return dict(_flattened(config or {}, ""))


def _flattened(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value) if isinstance(value, list) else value


def _shown_metrics(report: ReportContent, bounds: _Bounds) -> MetricsTable:
    table = metrics_table(report.metrics)
    name = "evaluation/metrics.json"
    columns = bounds.first(f"{name} (columns)", table.columns, MAX_COLUMNS)
    facts = bounds.first(f"{name}: facts", list(table.facts.items()))
    return MetricsTable(columns, bounds.first(name, table.models), table.best, table.intervals, dict(facts))


def _counts(checks: Sequence[CheckRow]) -> dict[str, int]:
    return {severity: sum(each.severity == severity for each in checks) for severity in _ORDER}


def _total(report: ReportContent) -> float | None:
    known = [step.seconds for step in report.steps if step.seconds is not None]
    return sum(known) if known else None


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return " – ".join(map(_text, value))
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S %Z}"
    return str(value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    if value.is_integer() and abs(value) < _EXACT_INTEGERS:
        return f"{int(value):,}"
    return f"{value:.6g}"
