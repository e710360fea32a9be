"""The reports of the pipeline's runs: how they are stored, how many, and how they are shown."""

import re
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from prometheus_client import CollectorRegistry

from contracts.run_reports import RunChecks, RunOutcome, RunReport, RunStep
from notification_gateway.app import create_app
from notification_gateway.dashboard.run_counts import RunCounts, count_runs
from notification_gateway.reports import queries
from notification_gateway.reports.durations import StepDurations
from notification_gateway.reports.endpoints import MAX_REPORT_BYTES
from running_gateway import ADMIN, TOKEN, SteppedGateway, Watch, settings, signal
from servicekit.http_protocol import HttpProtocol
from testkit.large_bodies import LARGE_BYTES, Route, send_large_body
from testkit.running_app import RunningApp
from testkit.serving import Served

RUN = "20261128T030000000000Z"
PAGE = b"<!doctype html><title>run</title><p>\xe8\xbf\x90\xe8\xa1\x8c</p>"


@pytest.fixture
def running(sqlite_url: str, watch: Watch) -> Iterator[RunningApp]:
    public = settings(sqlite_url, gateway_public_url="https://alerts.example.test")
    with RunningApp(create_app(public, clock=watch)) as running:
        yield running


def put(
    running: RunningApp,
    run: str = RUN,
    page: bytes = PAGE,
    *,
    token: str = TOKEN,
    outcome: str = "succeeded",
    content_type: str = "text/html; charset=utf-8",
    **query: str,
) -> httpx.Response:
    return running.http.put(
        f"/reports/{run}",
        params={"outcome": outcome, **query},
        content=page,
        headers={"Authorization": f"Bearer {token}", "Content-Type": content_type},
    )


def stored(running: RunningApp) -> list[str]:
    return [each["run"] for each in running.ask("/reports")["reports"]]


def test_a_report_is_shown_as_it_was_posted_and_can_do_nothing(running: RunningApp) -> None:
    answer = put(running, run_id="scheduled__2026-11-28T03:00:00+00:00", outcome="failed")
    assert answer.status_code == 200, answer.text
    assert running.ask("/reports")["reports"] == [answer.json()]
    assert answer.json() == {
        "run": RUN,
        "run_id": "scheduled__2026-11-28T03:00:00+00:00",
        "outcome": "failed",
        "posted_at": "2026-01-05T12:00:30Z",
        "size_bytes": len(PAGE),
        "url": f"https://alerts.example.test/reports/{RUN}",
    }
    shown = running.http.get(f"/reports/{RUN}")
    assert (shown.status_code, shown.content) == (200, PAGE)
    assert shown.headers["Content-Type"] == "text/html; charset=utf-8"
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    policy = shown.headers["Content-Security-Policy"].split("; ")
    assert policy[:4] == ["sandbox", "default-src 'none'", "style-src 'unsafe-inline'", "img-src data:"]


def test_without_a_public_address_a_report_names_none(sqlite_url: str, watch: Watch) -> None:
    with RunningApp(create_app(settings(sqlite_url, gateway_public_url=""), clock=watch)) as running:
        assert put(running).json()["url"] is None


def test_the_last_90_reports_are_kept_and_one_that_is_posted_again_replaces_the_first(stepped: SteppedGateway) -> None:
    def store(number: int, page: bytes = PAGE) -> None:
        stepped.watch.forward(minutes=1)
        report = RunReport(
            run=f"run-{number}", run_id=None, outcome="failed", posted_at=stepped.watch.now, size_bytes=len(page)
        )
        with stepped.gateway.storage.exclusive("reports") as connection:
            queries.store_report(connection, report, page)

    for number in range(queries.REPORTS_KEPT):
        store(number)
    with stepped.gateway.storage.transaction() as connection:
        assert queries.store_checks(connection, "run-5", RunChecks(checks=[]))
    store(1, b"again")
    store(queries.REPORTS_KEPT)
    with stepped.gateway.storage.read() as connection:
        kept = [report.run for report in queries.list_reports(connection)]
        assert kept == ["run-90", "run-1", *(f"run-{number}" for number in range(89, 1, -1))]
        assert (queries.page_of(connection, "run-1"), queries.page_of(connection, "run-0")) == (b"again", None)
        assert queries.last_checks(connection, 30) == [("run-5", RunChecks(checks=[]))]
        found = queries.find_report(connection, "run-7")
        assert found is not None
        assert found.posted_at.tzinfo is not None


@pytest.mark.parametrize(("token", "status"), [("wrong", 401), (ADMIN, 403)])
def test_a_report_needs_the_gateways_token(running: RunningApp, token: str, status: int) -> None:
    assert put(running, token=token).status_code == status
    assert running.http.put(f"/reports/{RUN}?outcome=failed", content=PAGE).status_code == 401
    assert stored(running) == []


@pytest.mark.parametrize("run", ["-x", ".hidden", "..", "a b", "a%2Fb", "运行", "x" * 129, "a%0A", "<b>"])
def test_a_name_that_is_not_one_of_a_run_is_rejected(running: RunningApp, run: str) -> None:
    assert put(running, run).status_code in {404, 405, 422}
    assert running.http.get(f"/reports/{run}").status_code in {404, 422}
    assert stored(running) == []


@pytest.mark.parametrize(
    ("content_type", "page", "problem"),
    [
        ("application/json", b"{}", "header.content-type"),
        ("", PAGE, "header.content-type"),
        ("text/html", b"", "the page is empty"),
        ("text/html", b"<p>\xff</p>", "not UTF-8 (byte 3)"),
    ],
)
def test_what_is_no_page_in_utf_8_is_rejected(
    running: RunningApp, content_type: str, page: bytes, problem: str
) -> None:
    answer = put(running, page=page, content_type=content_type)
    assert answer.status_code == 422
    assert problem in answer.text


def test_the_outcome_and_the_query_are_checked(running: RunningApp) -> None:
    assert put(running, outcome="great").status_code == 422
    assert put(running, color="red").status_code == 422
    assert put(running, run_id="").status_code == 422
    assert stored(running) == []


def test_a_page_may_have_2_mib_and_not_one_byte_more(running: RunningApp) -> None:
    assert put(running, page=b"x" * MAX_REPORT_BYTES).status_code == 200
    assert put(running, page=b"x" * (MAX_REPORT_BYTES + 1)).status_code == 413


def test_a_larger_body_is_rejected_before_it_is_read(sqlite_url: str) -> None:
    with Served(create_app(settings(sqlite_url)), HttpProtocol) as served:
        for framing in ("content-length", "chunked"):
            refusal = send_large_body(
                served.port,
                Route("PUT", f"/reports/{RUN}?outcome=failed"),
                framing,
                content_type="text/html",
                headers={"Authorization": f"Bearer {TOKEN}"},
            )
            assert refusal.status == 413
            assert refusal.sent_bytes < LARGE_BYTES / 3


def test_the_dashboard_links_to_the_reports_and_counts_failed_runs(running: RunningApp, watch: Watch) -> None:
    put(running, "of-long-ago", outcome="failed")
    watch.forward(days=31)
    for number, outcome in enumerate(("succeeded", "failed", "succeeded")):
        put(running, f"run-{number}", outcome=outcome)
    page = running.http.get("/dashboard/runs", params={"lang": "en"}).text
    assert all(f'href="/reports/{run}"' in page for run in ("of-long-ago", "run-0", "run-1", "run-2"))
    for tab in ("runs", "models"):
        assert ">67<small>% (2 / 3)</small>" in running.http.get(f"/dashboard/{tab}").text


def test_a_run_that_was_killed_before_it_had_a_page_has_begun_and_not_succeeded(
    running: RunningApp, watch: Watch
) -> None:
    put(running, "run-0", run_id="scheduled__0")
    put(running, "run-1", run_id="scheduled__1", outcome="failed")

    def fail(run_id: str, dag_id: str = "recommendation_pipeline") -> None:
        tags = {"dag_id": dag_id, "task_id": "train", "run_id": run_id}
        failed = signal(("airflow", dag_id, "train"), watch.now, monitoring_point="airflow.task_failed", tags=tags)
        body = {"signals": [failed.model_dump(mode="json")]}
        assert running.post("/signals", body, token=TOKEN).status_code == 202

    for run_id in ("scheduled__1", "scheduled__2", "scheduled__2"):
        fail(run_id)
    fail("scheduled__3", dag_id="incremental_update")
    page = running.http.get("/dashboard/models").text
    assert ">33<small>% (1 / 3)</small>" in page


def test_once_pages_are_deleted_the_success_rate_is_that_since_the_oldest_one(stepped: SteppedGateway) -> None:
    """A deleted page would take a success along; failures stay as alerts."""
    now = stepped.watch.now
    for number in range(queries.REPORTS_KEPT + 30):
        stepped.watch.forward(hours=1)
        run, is_bad = f"run-{number}", number % 10 == 0
        if is_bad:
            tags = {"dag_id": "recommendation_pipeline", "task_id": "train", "run_id": run}
            point = {"monitoring_point": "airflow.task_failed", "category": "airflow"}
            stepped.fire(signal(("airflow", "train"), stepped.watch.now, tags=tags, **point))
        outcome: RunOutcome = "failed" if is_bad else "succeeded"
        report = RunReport(run=run, run_id=None, outcome=outcome, posted_at=stepped.watch.now, size_bytes=1)
        with stepped.gateway.storage.exclusive("reports") as connection:
            queries.store_report(connection, report, PAGE)
    with stepped.gateway.storage.read() as connection:
        counts = count_runs(connection, now)
        page = stepped.gateway.dashboard.page.render("runs", "en", connection, stepped.watch.now, may_change=False)
    oldest = now + timedelta(hours=31)
    assert counts == RunCounts(queries.REPORTS_KEPT, queries.REPORTS_KEPT * 9 // 10, since=oldest)
    assert "Trainings that succeeded · since 01-07 03:00:30" in page


def test_pages_about_a_week_and_about_a_failed_refresh_are_shown_and_do_not_count(running: RunningApp) -> None:
    put(running, RUN)
    put(running, "weekly-2026-W48")
    put(running, "refresh-2026-11-28", outcome="failed")
    page = running.http.get("/dashboard/runs", params={"lang": "en"}).text
    assert all(f'href="/reports/{run}"' in page for run in ("weekly-2026-W48", "refresh-2026-11-28"))
    assert ">100<small>% (1 / 1)</small>" in page


def put_checks(running: RunningApp, run: str, *checks: tuple[str, str, float], token: str = TOKEN) -> int:
    body = {"checks": [{"check": n, "severity": s, "value": v, "threshold": 0.5, "later": 1} for n, s, v in checks]}
    headers = {"Authorization": f"Bearer {token}"}
    return running.http.put(f"/reports/{run}/checks", json=body, headers=headers).status_code


def put_steps(running: RunningApp, run: str, steps: dict[str, float]) -> int:
    body = {"checks": [], "steps": [{"step": name, "seconds": seconds} for name, seconds in steps.items()]}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return running.http.put(f"/reports/{run}/checks", json=body, headers=headers).status_code


def test_the_dashboard_shows_the_history_of_each_check_what_is_wrong_first(running: RunningApp, watch: Watch) -> None:
    for number, severity in enumerate(("warning", "ok", "critical")):
        watch.forward(days=1)
        put(running, f"run-{number}")
        assert put_checks(running, f"run-{number}", ("a.sound", "ok", 0), ("b.<bad>", severity, number)) == 204
    put(running, "run-without-checks")
    page = running.http.get("/dashboard/runs", params={"lang": "en"}).text
    history = page[page.index("History of each check") :]
    assert history.index("b.&lt;bad&gt;") < history.index("a.sound")
    assert re.findall(r"<title>(.*?)</title>", history, re.DOTALL)[:1] == [
        "run-0: warning 0 / 0.5\nrun-2: critical 2 / 0.5\n"
    ]
    assert re.findall(r'<path class="(\w+)" d="M(\d+) 8h(\d+)"', history) == [
        ("warning", "0", "8"),
        ("ok", "8", "8"),
        ("critical", "16", "8"),
        ("ok", "0", "24"),
    ]
    assert 'aria-label="2 / 3"' in history


def test_the_tab_of_data_quality_shows_missing_values_outliers_and_freshness_over_the_runs(running: RunningApp) -> None:
    empty = running.http.get("/dashboard/data", params={"lang": "en"}).text
    assert "runs of the pipeline, which post their results" in empty
    names = ("datasets.null_price", "interactions.outlier_price", "interactions.freshness_days", "users.rows")
    for number in range(2):
        put(running, f"run-{number}")
        assert put_checks(running, f"run-{number}", *((name, "ok", number) for name in names)) == 204
    page = running.http.get("/dashboard/data", params={"lang": "en"}).text
    assert [name in page for name in names] == [True, True, True, False]
    assert page.count('<path class="ok" d="M0 8h16"/>') == 3


def test_the_durations_of_the_steps_are_shown_by_run(running: RunningApp, watch: Watch) -> None:
    for number, steps in enumerate(({"extract": 2.0}, {"extract": 4.0, "tr<ain>": 0.0})):
        watch.forward(days=1)
        put(running, f"run-{number}")
        assert put_steps(running, f"run-{number}", steps) == 204
    page = running.http.get("/dashboard/runs", params={"lang": "en"}).text
    trends = page[page.index("Duration of each step") :]
    assert re.findall(r'aria-label="([^"]*)"><path class="bars" d="([^"]*)"', trends) == [
        ("2.0 s, 4.0 s", "M3 16v-8.5M11 16v-16.0"),
        ("0.0 s", "M11 16v-1.0"),
    ]
    assert "<code>tr&lt;ain&gt;</code>" in trends
    assert put_steps(running, "run-1", {"extract": -1}) == 422


def test_the_durations_of_the_newest_run_are_metrics(stepped: SteppedGateway) -> None:
    storage, registry = stepped.gateway.storage, CollectorRegistry()
    durations = StepDurations(storage, registry)
    durations.refresh()
    assert registry.get_sample_value("gateway_run_step_seconds", {"step": "extract"}) is None
    for number, step in enumerate(("extract", "train")):
        stepped.watch.forward(minutes=1)
        report = RunReport(run=step, run_id=None, outcome="failed", posted_at=stepped.watch.now, size_bytes=len(PAGE))
        with storage.exclusive("reports") as connection:
            queries.store_report(connection, report, PAGE)
            checks = RunChecks(checks=[], steps=[RunStep(step=step, seconds=number + 1.0)])
            queries.store_checks(connection, step, checks)
        durations.refresh()
        assert registry.get_sample_value("gateway_run_step_seconds", {"step": step}) == number + 1
    assert registry.get_sample_value("gateway_run_step_seconds", {"step": "extract"}) is None


def test_checks_belong_to_a_report_and_need_the_token(running: RunningApp) -> None:
    assert put_checks(running, RUN, ("a", "ok", 0)) == 404
    put(running)
    assert put_checks(running, RUN, ("a", "ok", 0), token="wrong") == 401
    assert put_checks(running, RUN, ("a", "great", 0)) == 422
    assert put_checks(running, RUN, *[("a", "ok", 0)] * 501) == 422
    assert "None yet." in running.http.get("/dashboard/runs", params={"lang": "en"}).text
    assert put_checks(running, RUN, ("a", "ok", 0)) == 204
    put(running)
    assert "None yet." in running.http.get("/dashboard/runs", params={"lang": "en"}).text


@pytest.mark.parametrize(
    ("point", "run_id", "is_linked"),
    [
        ("pipeline.data_quality", RUN, True),
        ("pipeline.critical_step_failed", "manual__2026-11-28", True),
        ("airflow.task_failed", "manual__2026-11-28", True),
        ("pipeline.data_quality", "another", False),
        ("pipeline.data_quality", None, False),
        ("model.deployment_failed", RUN, False),
    ],
)
def test_an_incident_of_a_run_links_to_its_report(
    running: RunningApp, point: str, run_id: str | None, is_linked: bool
) -> None:
    put(running, run_id="manual__2026-11-28")
    fired = signal(("x", "y"), monitoring_point=point, tags={} if run_id is None else {"run_id": run_id})
    running.post("/signals", {"signals": [fired.model_dump(mode="json")]}, token=TOKEN)
    page = running.http.get("/dashboard/incident/1").text
    assert (f'href="/reports/{RUN}"' in page) is is_linked
