"""A short soak run loses nothing and raises no false alarm; STATUS shows it, and a reader goes on where it stopped."""

import json
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from bench.results import Result
from soak import __main__ as command
from soak.progress import Bookmark, ProgressLog, read_from
from soak.report import Report
from soak.run import Plan

# Whichever test comes first waits for the run.
pytestmark = pytest.mark.timeout(600)
SECONDS = 36.0


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("soak-report")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, out: Path) -> Iterator[Report]:
    return command.run(Plan(SECONDS, seed=7), tmp_path_factory.mktemp("soak"), out)


def result(report: Report, name: str) -> Result:
    return next(each for each in report.results if each.name == name)


def test_a_short_run_loses_no_event_and_no_alert(report: Report) -> None:
    assert report.is_complete
    for name in ("events lost", "behaviour events lost", "alerts lost", "false alarms", "things above their bound"):
        assert result(report, name).ok, (name, report.faults, report.false_alarms)
    assert {each.name.partition("-")[2] for each in report.faults} == {
        "run-failed",
        "bad-deploy",
        "redis-killed",
        "gateway-killed",
        "collector-frozen",
    }
    assert result(report, "P0 after, worst").ok
    assert result(report, "events in the collector").value >= len(report.faults)
    assert not report.errors


def test_the_report_is_written_as_text_and_as_a_page(report: Report, out: Path) -> None:
    page, text = unescape((out / "report.html").read_text("utf-8")), (out / "report.txt").read_text("utf-8")
    for each in (*report.results, *report.faults):
        assert each.name in page
        assert each.name in text


def test_the_status_shows_the_report_and_each_event_once(
    report: Report, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["soak", "--status", "--out", str(out)])
    assert command.main() == 0
    first = capsys.readouterr().out
    assert command.main() == 0
    second = capsys.readouterr().out
    assert f"  fault {report.faults[0].name}\n" in first
    assert "since the last look" not in second
    assert "alerts lost" in second


def test_a_line_that_is_being_written_is_read_when_it_is_complete(tmp_path: Path) -> None:
    log = ProgressLog(tmp_path / "progress.jsonl", clock=lambda: 5.0)
    log.append("began", {"seed": 1})
    bookmark = Bookmark(tmp_path / "bookmark")
    assert bookmark.read_new(log.path) == [{"kind": "began", "at": 5.0, "seed": 1}]
    line = json.dumps({"kind": "sample", "at": 6.0})
    with log.path.open("a", encoding="utf-8") as file:
        file.write(line[:7])
    assert bookmark.read_new(log.path) == []
    with log.path.open("a", encoding="utf-8") as file:
        file.write(f"{line[7:]}\n")
    assert bookmark.read_new(log.path) == [{"kind": "sample", "at": 6.0}]
    assert len(read_from(log.path)[0]) == 2
    log.close()


def test_a_reader_begins_again_with_a_new_run(tmp_path: Path) -> None:
    bookmark = Bookmark(tmp_path / "bookmark")
    for run in (1.0, 2.0):
        log = ProgressLog(tmp_path / "progress.jsonl", clock=lambda run=run: run)  # type: ignore[misc]
        log.append("began", {"seed": 1})
        log.close()
        assert [each["at"] for each in bookmark.read_new(log.path)] == [run]
