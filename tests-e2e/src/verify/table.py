"""Prints verdicts as a table."""

from collections.abc import Iterator, Mapping, Sequence

from monitoring import catalogue
from verify.faults import Raised
from verify.verdicts import Verdict, context_missing, grouped, tags_missing

_HEAD = ("", "point", "fingerprint", "level", "service", "tags", "context", "events", "issues", "arrived", "alert")


def table(verdicts: Sequence[Verdict], raised: Mapping[str, Raised]) -> str:
    """Return one line per point, with its event, its incident and its faults below."""
    rows = [_HEAD, *(_row(verdict, raised[verdict.point.id]) for verdict in verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(rows[0], widths, strict=True)).rstrip()]
    for verdict, row in zip(verdicts, rows[1:], strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if verdict.first is not None:
            lines.append(f"     {verdict.first.link}")
        if verdict.alert is not None and verdict.alert.link:
            lines.append(f"     {verdict.alert.link}")
        lines += [f"     ✗ {text}" for text in verdict.wrong]
    return "\n".join([*lines, "", _grouping(verdicts), *_totals(verdicts)])


def _row(verdict: Verdict, raised: Raised) -> tuple[str, ...]:
    mark = "✓" if verdict.ok else "✗"
    point, first = verdict.point, verdict.first
    if first is None:
        return (mark, point.id, "/".join(point.fingerprint), point.level, raised.service, "", "", "0", "0", "", "")
    return (
        mark,
        point.id,
        "/".join(first.event.get("fingerprint") or ()),
        str(first.event.get("level")),
        first.tags.get("service", ""),
        _mark(tags_missing(point, raised, first)),
        _mark(context_missing(point, first)),
        str(len(verdict.events)),
        str(verdict.issues),
        f"{first.seconds:.1f} s",
        _alert(verdict),
    )


def _alert(verdict: Verdict) -> str:
    if verdict.alert is None:
        return "–"
    return verdict.alert.priority if verdict.intended is None else str(verdict.intended)


def _mark(missing: Sequence[str]) -> str:
    return "✗" if missing else "✓"


def _grouping(verdicts: Sequence[Verdict]) -> str:
    events = [event for verdict in verdicts for event in verdict.events]
    fingerprints = {tuple(event.event.get("fingerprint") or ()) for event in events}
    issues = {event.issue for event in events}
    mark = "✓" if grouped(verdicts) else "✗"
    return f"{mark} grouping: {len(events)} events, {len(fingerprints)} fingerprints, {len(issues)} issues"


def _totals(verdicts: Sequence[Verdict]) -> Iterator[str]:
    promised = catalogue.load_core().by_id()
    added = [verdict for verdict in verdicts if verdict.point.id not in promised]
    if added:
        yield f"{_total(added)} that were added to them"
    if len(added) < len(verdicts):
        yield _total([verdict for verdict in verdicts if verdict.point.id in promised])


def _total(verdicts: Sequence[Verdict]) -> str:
    good = sum(verdict.ok for verdict in verdicts)
    return f"{'✓' if good == len(verdicts) else '✗'} {good} of {len(verdicts)} points"
