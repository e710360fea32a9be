"""The run report in a real browser: nothing is loaded, nothing runs; with screenshots below .run/screenshots."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from pydantic import SecretStr

from localservers.executables import chromium
from notification_gateway.app import create_app
from pipeline.publish import put_report
from pipeline.run_report import ReportContent, RunFailure, render
from pipeline.run_report.content import BundleFacts, CheckRow, StepRow
from running_gateway import TOKEN, Watch, settings
from testkit.running_app import RunningApp

SCREENSHOTS = Path(__file__).parents[2] / ".run" / "screenshots"
NOW = datetime(2026, 11, 28, 3, 20, tzinfo=UTC)
SCRIPT = "<script>alert(1)</script>"
# What a report must never hold; the browser has to refuse it nevertheless.
INJECTED = """<script>alert(2)</script><img src="{url}/health" onerror="alert(3)">
<link rel="stylesheet" href="{url}/dashboard/assets/dashboard.css">
<script src="{url}/dashboard/assets/uplot.js"></script>
</main>"""


def report(name: str, failure: RunFailure | None = None) -> ReportContent:
    days = {f"{NOW - timedelta(days=60 - day):%Y-%m-%d}": 900 + 37 * (day % 7) for day in range(60)}
    nulls = {"title": 0, "price": 211}
    return ReportContent(
        run=name,
        steps=[StepRow(step=step, state="done", seconds=3.7 * n) for n, step in enumerate(("extract", "quality"))],
        failure=failure,
        checks=[
            CheckRow(
                check="datasets.title",
                severity="critical" if failure else "warning",
                value=0.02,
                threshold=0.01,
                details=f"24 of 1,190 datasets have no usable title, such as {SCRIPT}",
                advice="在来源处更正 correct them at their source",
            ),
            CheckRow(check="interactions.null_ts", severity="ok", value=0, threshold=0.01, details="0 of 57,000"),
        ],
        profile={"rows": 57_000, "by_day": days, "nulls": nulls, "columns": {"price": {"p50": 12.5, "p99": 980.0}}},
        metrics={} if failure else {"ndcg@10": 0.193, "ndcg@10_ease": 0.094, "recall@10": 0.31, "recall@10_ease": 0.18},
        evaluation={} if failure else {"segments": {"cold": {"ndcg@10": 0.12}, "warm": {"ndcg@10": 0.22}}},
        manifest=None if failure else BundleFacts(name="ranker", version=name, created_at="2026-11-28T03:19:00Z"),
        archive=None if failure else ("a" * 64, 4_812_331),
    )


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningApp]:
    with RunningApp(
        create_app(settings(f"sqlite:///{tmp_path}/recsys.db", gateway_public_url=""), clock=Watch(NOW))
    ) as running:
        yield running


@pytest.fixture
def browser() -> Iterator[Browser]:
    program = chromium()
    assert program is not None, "run `python -m native prerequisites`"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.mark.parametrize("name", ["succeeded", "failed"])
def test_in_a_browser_a_report_loads_nothing_and_runs_nothing(gateway: RunningApp, browser: Browser, name: str) -> None:
    failure = RunFailure(step="quality", error_type="DataError", message=f"datasets.title: {SCRIPT}", at=NOW)
    page_bytes = render(report(f"run-{name}", failure if name == "failed" else None), NOW)
    url = put_report(gateway.url, SecretStr(TOKEN), f"run-{name}", page_bytes, run_id="nightly", outcome=name)
    opened = browser.new_context(viewport={"width": 1100, "height": 900}).new_page()
    requested: list[str] = []
    dialogs: list[str] = []
    problems: list[str] = []
    opened.on("request", lambda request: requested.append(request.url))
    opened.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.goto(url, wait_until="networkidle")
    text = opened.locator("main").inner_text()
    assert SCRIPT in text
    assert ("quality" in text.split("Failed step")[-1][:20]) is (name == "failed")
    assert opened.locator("script, img, link, iframe, a, form").count() == 0
    assert opened.locator("svg rect").count() == 60
    # The styles apply, and bars have a height.
    assert opened.locator("section").first.evaluate("each => getComputedStyle(each).borderRadius") == "12px"
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1100
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=SCREENSHOTS / f"run-report-{name}.png", full_page=True)
    opened.set_viewport_size({"width": 390, "height": 900})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert (requested, dialogs, problems) == ([url], [], [])


def test_the_browser_refuses_what_was_put_into_a_report(gateway: RunningApp, browser: Browser) -> None:
    page_bytes = render(report("injected"), NOW).replace(b"</main>", INJECTED.format(url=gateway.url).encode())
    url = put_report(gateway.url, SecretStr(TOKEN), "injected", page_bytes, run_id="nightly", outcome="succeeded")
    opened = browser.new_page()
    loaded: list[str] = []
    dialogs: list[str] = []
    opened.on("requestfinished", lambda request: loaded.append(request.url))
    opened.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    opened.goto(url, wait_until="networkidle")
    assert opened.locator("img").count() == 1
    assert (loaded, dialogs) == ([url], [])
