"""`python -m soak`: run for some hours, or show how far a run is; exit code 1 if a goal is missed."""

import argparse
import sys
import tempfile
from pathlib import Path

from soak.page import render_html, render_text
from soak.progress import Bookmark, ProgressLog, Record, read_from
from soak.report import Report, compute
from soak.run import Plan, soak

PROGRESS, BOOKMARK = "progress.jsonl", "read-until.json"
_NEWS = ("fault-begins", "fault", "night", "interrupted")


def main() -> int:
    """Run, or show the report so far."""
    parser = argparse.ArgumentParser(prog="python -m soak", description="A missed goal fails the command.")
    parser.add_argument("--hours", type=float, default=24.0, help="how long; fractions are allowed")
    parser.add_argument("--seed", type=int, default=7, help="seed of all randomness")
    parser.add_argument("--status", action="store_true", help="show the report of a run that goes on, or has ended")
    parser.add_argument("--out", type=Path, default=Path(".run/soak"))
    given = parser.parse_args()
    if given.status:
        return _show(given.out)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        report = run(Plan(given.hours * 3600, given.seed), Path(folder), given.out)
    sys.stdout.write(render_text(report))
    return 0 if report.ok else 1


def run(plan: Plan, folder: Path, out: Path) -> Report:
    """Run a plan with its programs in `folder`; write progress and report to `out`, even if it ends early."""
    log = ProgressLog(out / PROGRESS)
    try:
        soak(plan, folder, log)
    finally:
        log.close()
        records, _ = read_from(log.path)
        report = compute(records)
        (out / "report.txt").write_text(render_text(report), encoding="utf-8")
        (out / "report.html").write_text(render_html(report), encoding="utf-8")
    return report


def _show(out: Path) -> int:
    log = out / PROGRESS
    if not log.exists():
        sys.stderr.write(f"no run has been started: {log} is missing\n")
        return 2
    news = [_line(each) for each in Bookmark(out / BOOKMARK).read_new(log) if each["kind"] in _NEWS]
    records, _ = read_from(log)
    sys.stdout.write("".join(["since the last look:\n", *news, "\n"] if news else []) + render_text(compute(records)))
    return 0


def _line(record: Record) -> str:
    name = record.get("name") or f"{record.get('command', '')} {record.get('run_id', '')}"
    return f"  {record['kind']} {name}\n"


if __name__ == "__main__":
    sys.exit(main())
