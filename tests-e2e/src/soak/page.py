"""A report as text and as an HTML page without any other file."""

from collections.abc import Sequence
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader

from bench.results import table
from soak.report import FaultOutcome, Report

_POINTS = 200
WIDTH, HEIGHT = 320, 48
_environment = Environment(loader=PackageLoader("soak"), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def render_text(report: Report) -> str:
    """Return the report for a terminal."""
    lines = [
        f"soak run, seed {report.seed}: {report.seconds / 3600:.2f} h"
        + ("" if report.is_complete else ", not at its end"),
        "",
        table(report.results),
        "",
        *(f"fault {each.name}: {_describe(each)}" for each in report.faults),
        *(f"false alarm: incident {each['id']}, {each['point']}: {each['message']}" for each in report.false_alarms),
        *(f"night: {error}" for error in report.errors),
        "",
        f"{'program':<16}{'memory MB':>10}{'%/h':>8}{'files':>8}{'threads':>9}{'connections':>13}",
        *(
            f"{each.program:<16}{each.memory_mb:>10.1f}{_percent(each.memory_percent):>8}{each.files:>8}"
            f"{each.threads:>9}{each.connections:>13}"
            for each in report.drifts
        ),
        "",
        *(f"{each['name']:<48}{each['value']:>12g} of {each['bound']:g}" for each in report.bounds),
    ]
    return "\n".join(lines) + "\n"


def render_html(report: Report) -> str:
    """Return the report as a page; every text from the run is escaped."""
    return _environment.get_template("report.html").render(
        report=report,
        describe=_describe,
        percent=_percent,
        moment=lambda at: f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}",
        polyline=_polyline,
        width=WIDTH,
        height=HEIGHT,
    )


def _describe(fault: FaultOutcome) -> str:
    parts = [f"{fault.ends - fault.begins:.1f} s"]
    if fault.incidents:
        parts.append(f"incident {', '.join(map(str, fault.incidents))}")
    if fault.alerted_after is not None:
        parts.append(f"alert after {fault.alerted_after:.1f} s")
    return ", ".join([*parts, *(f"LOST {each}" for each in fault.missing)])


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f}"


def _polyline(memory: Sequence[tuple[float, float]]) -> str:
    """Return the points of a curve from zero to its highest value."""
    shown = memory[:: max(1, len(memory) // _POINTS)]
    end, most = max(at for at, _ in shown) or 1.0, max(mb for _, mb in shown) or 1.0
    return " ".join(f"{at / end * WIDTH:.1f},{HEIGHT - mb / most * (HEIGHT - 2):.1f}" for at, mb in shown)
