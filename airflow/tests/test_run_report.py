"""The report of a run: made of what the run's folder holds, also when the run has failed, and posted to the gateway."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from monitoring import testing
from pipeline.artifacts import join, reading, writing
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.cli import main
from pipeline.demo import DemoSize, generate
from pipeline.errors import DataError, NothingToTrainError, PipelineError
from pipeline.run_report import MAX_PAGE_BYTES, ReportContent, RunFailure, gather, record_failure, render
from pipeline.run_report.content import BundleFacts, CheckRow, StepRow
from pipeline.run_report.metrics import metrics_table
from pipeline.run_report.tables import BarSeries, Grid, blocks
from pipeline.settings import Settings
from pipeline.steps import RunInfo, RunKind, write_run_info
from pipeline.steps.report import report_run, reported
from pipeline.steps.snapshots import sync_address
from testkit.threaded_server import SilentHandler, ThreadedServer

NOW = datetime(2026, 11, 28, 3, 20, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script><img src=https://evil.test/x onerror=alert(1)>\"'"
NAME = "20261128T030000000000Z"
# What makes a browser load something, leave the page or run code.
ACTIVE = re.compile(
    r"<script|<link|<iframe|<img|<a\s|<form|<object|\bsrc=|\bhref=|\bon\w+=|url\(|@import", re.IGNORECASE
)


class Gateway(ThreadedServer):
    """Answers as `PUT /reports/{run}` does, and keeps what it was sent; also as feature-sync, for one job."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.status = 200
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.sync_state = "done"
        self.during_sync: Callable[[], object] = lambda: None

    @property
    def outcomes(self) -> list[str]:
        """Those of the reports that it was sent."""
        return [each for path, _, _ in self.received for each in parse_qs(urlsplit(path).query).get("outcome", [])]


class _Handler(SilentHandler):
    server: Gateway

    def do_PUT(self) -> None:
        self.server.received.append((self.path, dict(self.headers.items()), self.read_body()))
        self.send_json(self.server.status, {"run": "r", "title": "Internal Server Error", "status": self.server.status})

    def do_GET(self) -> None:
        self.server.during_sync()
        self.send_json(200, {"job": "j-1", "state": self.server.sync_state})

    def do_POST(self) -> None:
        if self.path == "/sync":
            self.send_json(202, {"job": "j-1"})
            return
        signals = json.loads(self.read_body())["signals"]
        self.send_json(202, {"accepted": len(signals), "duplicates": 0})


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture(params=["local", "remote"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a run: in a folder, and in a store that is not a file system."""
    root = str(tmp_path / "artifacts") if request.param == "local" else f"memory://{tmp_path.name}"
    return join(root, "runs", NAME)


def put(run: str, **folders: dict[str, Any]) -> None:
    """Write folders of JSON files."""
    for name, files in folders.items():
        with writing(join(run, name)) as folder:
            for file, content in files.items():
                text = content if isinstance(content, str) else json.dumps(content)
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(text, encoding="utf-8")


def page_of(run: str) -> str:
    with reading(join(run, "report")) as folder:
        return (folder / "report.html").read_text(encoding="utf-8")


def full(run: str) -> None:
    """Write what each step leaves."""
    checks = [
        {"check": "datasets.null_title", "severity": "ok", "value": 0.0, "threshold": 0.01, "details": "0 of 120"},
        {
            "check": "interactions.future_ts",
            "severity": "warning",
            "value": 0.031,
            "threshold": 0.05,
            "details": "31 of 1,000 interactions are in the future",
            "advice": "set TIMEZONE",
        },
    ]
    days = {f"2026-11-{day:02}": 100 + day for day in range(1, 28)}
    profile = {"interactions": {"rows": 3078, "rows_per_day": days, "nulls": {"ts": 0.0, "price": 0.25}}}
    with_types = {"by_day": {day: {"view": rows - 7, "purchase": 7} for day, rows in days.items()}}
    profile["activity"] = with_types | {"by_hour": list(range(24))}
    metrics = {
        "test_users": 150,
        "ndcg@10": 0.193,
        "ndcg@10_low": 0.181,
        "ndcg@10_high": 0.207,
        "ndcg@10_ease": 0.094,
        "recall@10": 0.3,
        "recall@10_ease": 0.2,
    }
    put(
        run,
        clean={"report.json": checks, "profile.json": profile},
        evaluation={"metrics.json": metrics, "evaluation.json": {"intervals": {"ndcg@10": [0.184, 0.202]}}},
        registry={"version.json": {"version": "12"}},
    )
    with writing(join(run, "bundle")) as folder:
        (folder / "contents").mkdir()
        manifest = {"name": "ranker", "version": "v-8", "created_at": "2026-11-28T03:19:00Z", "of_a_later_release": 1}
        (folder / "contents" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        (folder / "bundle.tar.gz").write_bytes(b"bundle")


def test_it_shows_checks_profile_evaluation_and_bundle(run: str) -> None:
    full(run)
    report = gather(run)
    assert (report.run, report.unreadable) == (NAME, [])
    page = render(report, NOW).decode()
    for shown in (
        "interactions.future_ts",
        "31 of 1,000 interactions are in the future",
        "set TIMEZONE",
        "0.031",
        "2026-11-27: 127",
        "0.25",
        "0.193",
        "ease",
        "0.184 – 0.202",
        "0.181 – 0.207",
        "v-8",
        report.archive[0] if report.archive else "no archive",
        "数据检查",
        "Data checks",
    ):
        assert shown in page, shown
    assert page.index("interactions.future_ts") < page.index("datasets.null_title")


def test_a_run_without_any_file_has_a_page_that_says_what_is_missing(run: str) -> None:
    page = render(gather(run), NOW).decode()
    for missing in ("There are no results of checks.", "There is no profile.", "There are no metrics.", "no bundle"):
        assert missing in page


@pytest.mark.parametrize("broken", ["{", "[]" * 5, "7", '"text"', "[" * 100, '{"check": 1}', "[1, 2]", "null", "\xff"])
@pytest.mark.parametrize("folder", ["clean", "evaluation", "registry", "failure"])
def test_a_broken_file_costs_its_own_part_of_the_page_only(tmp_path: Path, broken: str, folder: str) -> None:
    run = str(tmp_path / "runs" / NAME)
    full(run)
    files = ("report.json", "profile.json", "metrics.json", "evaluation.json", "version.json", "failure.json")
    put(run, **{folder: dict.fromkeys(files, broken)})
    page = render(gather(run), NOW).decode()
    assert NAME in page
    assert ("interactions.future_ts" in page) is (folder != "clean")
    assert ("0.193" in page) is (folder != "evaluation")
    if broken == "{":
        assert f"{folder}/" in page[page.index("Files that cannot be shown") :]


def hostile_report() -> ReportContent:
    check = CheckRow(check=HOSTILE, severity="critical", value=1, threshold=0, details=HOSTILE, advice=HOSTILE)
    return ReportContent(
        run=HOSTILE,
        steps=[StepRow(step=HOSTILE, state=HOSTILE, seconds=1)],
        failure=RunFailure(step=HOSTILE, error_type=HOSTILE, message=f"{HOSTILE}\0\ud800", at=NOW),
        checks=[check],
        profile={HOSTILE: {"2026-01-01": 1, "2026-01-02": 2}, "quantiles": {HOSTILE: {HOSTILE: HOSTILE}}},
        metrics={HOSTILE: 1, f"{HOSTILE}_{HOSTILE}": 2, "ndcg@10": 0.1, f"ndcg@10_{HOSTILE}": 0.2},
        evaluation={HOSTILE: [HOSTILE], "segments": [{HOSTILE: HOSTILE}]},
        manifest=BundleFacts(name=HOSTILE, version=HOSTILE, created_at=HOSTILE, data_window={HOSTILE: HOSTILE}),
        unreadable=[HOSTILE],
    )


def test_nothing_is_loaded_or_run_and_foreign_text_is_shown_as_text() -> None:
    page = render(hostile_report(), NOW).decode()
    text = re.sub(r"&lt;.*?&gt;", "", page)
    assert ACTIVE.findall(text) == []
    assert "<script" not in page.lower()
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 15
    assert "\0" not in page


def test_a_page_is_bounded_and_says_what_it_leaves_out() -> None:
    checks = [CheckRow(check=f"check.{n}", severity="ok", details="很长 <&>" * 4000) for n in range(3000)]
    checks.append(CheckRow(check="check.bad", severity="critical", details="bad"))
    days = {f"{2000 + day // 360}-{day // 30 % 12 + 1:02}-{day % 30 + 1:02}": day for day in range(9000)}
    page = render(ReportContent(run=NAME, checks=checks, profile={"days": days}), NOW)
    assert len(page) <= MAX_PAGE_BYTES
    text = page.decode()
    assert "check.bad" in text
    left_out = text[text.index("What was left out") :]
    assert re.search(r"clean/report.json: \d+ / 3,001", left_out)
    assert re.search(r"clean/profile.json: days: \d+ / 9,000", left_out)
    assert "texts were shortened" in left_out
    assert "2024-12-30: 8,999" in text


def test_a_small_page_leaves_nothing_out() -> None:
    assert "What was left out" not in render(ReportContent(run=NAME), NOW).decode()


def test_metrics_become_a_row_for_each_model_and_a_column_for_each_metric() -> None:
    table = metrics_table(
        {
            "test_users": 10,
            "ndcg@10": 0.2,
            "ndcg@10_low": 0.19,
            "ndcg@10_high": 0.21,
            "ndcg@10_popularity": 0.1,
            "ndcg@10_popularity_decayed": 0.25,
            "mrr": 0.3,
            "mrr_popularity_decayed": 0.1,
            "coverage@10": 0.5,
        }
    )
    assert table.columns == ["ndcg@10", "mrr", "coverage@10"]
    assert {model.name: model.values for model in table.models} == {
        "": [0.2, 0.3, 0.5],
        "popularity": [0.1, None, None],
        "popularity_decayed": [0.25, 0.1, None],
    }
    assert table.best == [0.25, 0.3, None]
    assert table.intervals == [(0.19, 0.21), None, None]
    assert table.facts == {"test_users": 10}


def test_nested_results_become_tables_and_numbers_by_day_or_hour_become_charts() -> None:
    value = {
        "rows": 5,
        "by_hour": {"9": 1, "10": 2},
        "per_day": {"2026-01-02": 2, "2026-01-01": 1},
        "nulls": {"title": 0.1, "price": 0.2},
        "columns": {"price": {"nulls": 3, "percentiles": list(range(101))}, "age": {"nulls": 1, "chars": 4}},
        "hours": list(range(24)),
        "by_type": {"2026-01-01": {"view": 1, "click": 2}, "2026-01-02": {}},
        "segments": [{"name": "cold", "ndcg": [0.1, 0.2]}],
        "deep": {"a": {"b": {"c": {"d": 1}}}},
    }
    found = {block.title: block for block in blocks(value)}
    assert found["by_hour"] == BarSeries("by_hour", [("9", 1.0), ("10", 2.0)])
    assert found["per_day"] == BarSeries("per_day", [("2026-01-01", 1.0), ("2026-01-02", 2.0)])
    assert found[""] == Grid("", (), [("rows", 5)])
    quantiles = [0, 1, 5, 25, 50, 75, 95, 99, 100]
    assert found["columns"] == Grid(
        "columns",
        ["nulls", *(f"p{each}" for each in quantiles), "chars"],
        [("price", 3, *quantiles, None), ("age", 1, *[None] * 9, 4)],
    )
    assert found["hours"] == BarSeries("hours", [(str(hour), float(hour)) for hour in range(24)])
    assert found["by_type"] == BarSeries("by_type", [("2026-01-01", 3.0), ("2026-01-02", 0.0)])
    assert found["segments"] == Grid("segments", ["name", "ndcg"], [("1", "cold", [0.1, 0.2])])
    assert found["nulls"].rows == [("title", 0.1), ("price", 0.2)]  # type: ignore[union-attr]
    assert any("d" in str(block) for title, block in found.items() if title.startswith("deep"))


def test_the_failed_step_and_its_reason_are_stored_without_secrets(run: str) -> None:
    with pytest.raises(DataError), record_failure(run, "quality", lambda: NOW):
        raise DataError("datasets.empty: no datasets in postgresql://me:topsecret@db/shop")
    failure = gather(run).failure
    assert failure is not None
    assert (failure.step, failure.error_type, failure.at) == ("quality", "DataError", NOW)
    assert failure.message.startswith("datasets.empty: no datasets")
    assert "topsecret" not in failure.message


def test_a_step_that_passes_later_is_not_reported_as_failed(run: str) -> None:
    with pytest.raises(DataError), record_failure(run, "quality"):
        raise DataError("bad")
    with record_failure(run, "quality"):
        pass
    assert gather(run).failure is None


def test_a_failure_that_cannot_be_stored_does_not_hide_the_steps_error() -> None:
    with pytest.raises(DataError, match="bad"), record_failure("nosuchstore://x/runs/r", "quality"):
        raise DataError("bad")


def test_a_step_whose_process_was_killed_is_named(run: str) -> None:
    report_run(Settings(), run, "train")
    assert ">train<" in page_of(run)
    assert "the process of the step ended without an error" in page_of(run)


@pytest.mark.parametrize("state", ["running", "failed"])
def test_a_step_that_did_not_end_fails_the_run_in_its_report(tmp_path: Path, state: str) -> None:
    run = tmp_path / "runs" / NAME
    run.mkdir(parents=True)
    steps = [{"step": "extract", "state": "done", "seconds": 1.5}, {"step": "quality", "state": state}]
    (run / "steps.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    report = gather(str(run))
    assert report.failure == RunFailure(step="quality")
    assert "1.5 s" in render(report, NOW).decode()


@pytest.mark.parametrize(("kind", "outcomes"), [("training", ["succeeded"]), ("refresh", [])])
def test_a_sync_that_another_dag_runs_during_the_report_does_not_fail_the_run(
    tmp_path: Path, gateway: Gateway, kind: RunKind, outcomes: list[str]
) -> None:
    """Of refreshes, only failed ones are posted."""
    run, settings = _deployed(tmp_path, gateway, kind)
    gateway.during_sync = lambda: report_run(settings, run)
    sync_address(settings, f"{tmp_path}/snapshots/{NAME}")
    assert gateway.outcomes == outcomes
    assert "did not end" not in page_of(run)
    assert [(each.step, each.state) for each in gather(run).steps] == [("sync", "done")]


def test_a_sync_of_another_dag_that_fails_does_not_fail_the_run(tmp_path: Path, gateway: Gateway) -> None:
    """It is tried again, and reported by its own DAG."""
    run, settings = _deployed(tmp_path, gateway, "training")
    gateway.sync_state = "failed"
    with testing.captured() as captured, pytest.raises(PipelineError, match="job j-1 failed"):
        sync_address(settings, f"{tmp_path}/snapshots/{NAME}")
    report_run(settings, run)
    assert gateway.outcomes == ["succeeded"]
    assert [(each.step, each.state) for each in gather(run).steps] == [("sync", "failed")]
    assert [each.tags["step_name"] for each in captured] == ["sync"]


def test_a_sync_of_another_dag_removes_the_failure_of_the_runs_own_sync(tmp_path: Path, gateway: Gateway) -> None:
    run, settings = _deployed(tmp_path, gateway, "training")
    with pytest.raises(DataError), record_failure(run, "sync"):
        raise DataError("no Redis")
    sync_address(settings, f"{tmp_path}/snapshots/{NAME}")
    assert gather(run).failure is None


def _deployed(tmp_path: Path, gateway: Gateway, kind: RunKind) -> tuple[str, Settings]:
    run = str(tmp_path / "runs" / NAME)
    write_run_info(run, RunInfo(run_id=NAME, as_of=NOW, started_at=NOW, kind=kind))
    (tmp_path / "snapshots" / NAME).mkdir(parents=True)
    return run, Settings(artifact_url=str(tmp_path), gateway_url=gateway.url, feature_sync_url=gateway.url)


def test_a_run_with_nothing_to_train_has_no_report(tmp_path: Path) -> None:
    run = str(tmp_path / "runs" / NAME)
    with pytest.raises(NothingToTrainError), reported(Settings(), run):
        raise NothingToTrainError("nothing to train yet")
    assert not Path(run).exists()


def test_a_report_is_posted_with_its_outcome_and_the_run_id_of_the_alerts(tmp_path: Path, gateway: Gateway) -> None:
    run = str(tmp_path / "runs" / NAME)
    full(run)
    steps = [{"step": "extract", "state": "done", "seconds": 1.5}, {"step": "quality", "state": "skipped"}]
    (Path(run) / "steps.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    settings = Settings(gateway_url=gateway.url, gateway_token=SecretStr("gateway-secret"))
    with testing.captured() as captured:
        report_run(settings, run)
    (path, headers, body), (checks_path, _, checks) = gateway.received
    assert urlsplit(path).path == f"/reports/{NAME}"
    assert parse_qs(urlsplit(path).query) == {"run_id": [NAME], "outcome": ["succeeded"]}
    assert headers["Authorization"] == "Bearer gateway-secret"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert body.decode() == page_of(run)
    assert checks_path == f"/reports/{NAME}/checks"
    assert [(each["check"], each["severity"]) for each in json.loads(checks)["checks"]] == [
        ("interactions.future_ts", "warning"),
        ("datasets.null_title", "ok"),
    ]
    assert json.loads(checks)["steps"] == [{"step": "extract", "seconds": 1.5}]
    assert captured == []


def test_of_the_refreshes_only_the_last_failed_one_of_a_day_is_posted(tmp_path: Path, gateway: Gateway) -> None:
    run = str(tmp_path / "runs" / NAME)
    full(run)
    info = {"run_id": NAME, "as_of": NOW.isoformat(), "started_at": NOW.isoformat(), "kind": "refresh"}
    Path(run, "run.json").write_text(json.dumps(info), encoding="utf-8")
    settings = Settings(gateway_url=gateway.url)
    report_run(settings, run)
    assert gateway.received == []
    assert "刷新 refresh" in page_of(run)
    before = datetime.now(UTC)
    report_run(settings, run, "extract")
    # Its page is not that of a training, and its checks are not among those of the nights.
    ((path, _, _),) = gateway.received
    days = {f"/reports/refresh-{each:%Y-%m-%d}" for each in (before, datetime.now(UTC))}
    assert urlsplit(path).path in days
    assert parse_qs(urlsplit(path).query) == {"run_id": [NAME], "outcome": ["failed"]}


@pytest.mark.parametrize("status", [None, 401, 404, 500])
def test_a_report_that_cannot_be_posted_fails_no_run_and_is_reported_once(
    tmp_path: Path, gateway: Gateway, status: int | None
) -> None:
    gateway.status = status or 0
    url = gateway.url if status else "http://127.0.0.1:1"
    with testing.captured() as captured:
        report_run(Settings(gateway_url=url), str(tmp_path / "runs" / NAME))
    (report,) = captured
    assert (report.point_id, report.tags["step_name"], report.level) == (
        "pipeline.step_failed",
        "post_report",
        "warning",
    )
    assert NAME in page_of(str(tmp_path / "runs" / NAME))


def test_a_report_that_cannot_be_written_fails_no_run_and_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a folder should be", encoding="utf-8")
    with testing.captured() as captured:
        report_run(Settings(), str(tmp_path / "runs" / NAME))
    (report,) = captured
    assert (report.point_id, report.tags["step_name"]) == ("pipeline.step_failed", "report")


def test_a_run_that_fails_in_quality_posts_a_report_that_names_the_check(
    tmp_path: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/business.db"
    content = generate(DemoSize(datasets=100, users=50, interactions=1000), 42, NOW)
    replace_content(
        open_engine(url, "BUSINESS_DATABASE_URL"), replace(content, interactions=content.interactions.slice(0, 0))
    )
    own = {"BUSINESS_DATABASE_URL": url, "ARTIFACT_URL": str(tmp_path / "artifacts"), "GATEWAY_URL": gateway.url}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    with testing.captured() as captured:
        assert main(["run", "--no-publish"]) == 1
    (path, _, body), *_ = gateway.received
    (run,) = (tmp_path / "artifacts" / "runs").iterdir()
    assert urlsplit(path).path == f"/reports/{run.name}"
    assert parse_qs(urlsplit(path).query) == {"run_id": [run.name], "outcome": ["failed"]}
    assert {report.tags["run_id"] for report in captured} == {run.name}
    page = body.decode()
    assert page == (run / "report" / "report.html").read_text(encoding="utf-8")
    assert ">quality<" in page
    assert "interactions.empty" in page
