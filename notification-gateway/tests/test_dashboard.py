"""The page in a real browser, with screenshots below .run/screenshots."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from localservers.executables import chromium
from notification_gateway.app import create_app
from notification_gateway.dashboard.language import choose_language
from running_gateway import ADMIN, TOKEN, Watch, settings, signal
from testkit.running_app import RunningApp

SCREENSHOTS = Path(__file__).parents[2] / ".run" / "screenshots"
TABS = ("", "/live", "/data", "/models", "/runs", "/incidents", "/silences", "/digests", "/audit")


class Surroundings(ThreadingHTTPServer):
    """The parts of Prometheus and the model registry that the page queries."""

    daemon_threads = True

    def __init__(self, watch: Watch) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.watch = watch
        # Metrics whose names have this part are not scraped.
        self.unknown = ""
        self.url = f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, query: dict[str, list[str]]) -> Any:
        if path.startswith("/api/v1/"):
            return {"data": {"result": list(self._samples(query, ranged=path.endswith("range")))}}
        version = re.fullmatch(r"/models/ranker/versions/(\d+)", path)
        if version:
            better = int(version[1]) * 0.006
            checks = [
                {"check": name, "severity": severity, "value": value, "threshold": bound}
                for name, severity, value, bound in (
                    ("interactions.null_ts", "ok", 0.0, 0.01),
                    ("datasets.null_title", "warning", 0.004, 0.01),
                    ("interactions.negative_price", "warning", 0.031, 0.05),
                    ("interactions.future_ts", "ok", 0.0, 0.05),
                )
            ]
            ndcg = 0.16 + better
            bounds = {"ndcg@10_low": ndcg - 0.01, "ndcg@10_high": ndcg + 0.02}
            metrics = {"ndcg@10_ease": 0.094, "ndcg@10": ndcg, "recall@10": 0.2 + better, **bounds}
            manifest = {"metrics": metrics, "data_checks": checks}
            return self._receipt(int(version[1])) | {"size": 1, "manifest": manifest}
        at = self.watch.now
        if path == "/audit":
            return {"entries": [_audit_entry(at)]}
        if path == "/models/ranker/rollouts":
            return {"rollouts": [_rollout(at)]}
        if path == "/models/ranker":
            return {"name": "ranker", "versions": [self._receipt(number) for number in range(7, 0, -1)]}
        modes = [
            ("7", "shadow", "active"),
            ("6", "primary", "active"),
            ("5", "primary", "failed"),
            ("4", "primary", "replaced"),
        ]
        return {
            "deployments": [
                {
                    "deployment_id": f"d{number}",
                    "version": version,
                    "mode": mode,
                    "state": state,
                    "deployed_by": "ci@main",
                    "reason": "nightly training",
                    "detail": None,
                    "previous_version": None,
                    "rollout": 1.0,
                    "failed_stage": None,
                    "created_at": (at - timedelta(hours=9 * number + 1)).isoformat(),
                }
                for number, (version, mode, state) in enumerate(modes)
            ],
            "replicas": [],
        }

    def _receipt(self, number: int) -> dict[str, Any]:
        made = self.watch.now - timedelta(days=8 - number)
        return {"name": "ranker", "version": str(number), "sha256": "a" * 64, "created_at": made.isoformat()}

    def _samples(self, query: dict[str, list[str]], *, ranged: bool) -> Iterator[dict[str, Any]]:
        if self.unknown and self.unknown in query["query"][0]:
            return
        labels, level = _levels(query["query"][0])
        for label, value in zip(labels, level, strict=True):
            if not ranged:
                yield {"metric": label, "value": [self.watch.now.timestamp(), str(value)]}
                continue
            start, end, step = (float(query[name][0]) for name in ("start", "end", "step"))
            moments = [start + step * number for number in range(int((end - start) / step) + 1)]
            wave = [1 + 0.3 * ((place * 7) % 11) / 11 for place in range(len(moments))]
            yield {"metric": label, "values": [[at, str(value * w)] for at, w in zip(moments, wave, strict=True)]}


def _rollout(at: datetime) -> dict[str, Any]:
    """Return a rollout that holds at its second step, as the registry shows it."""
    arm = {"exposures": 4800, "clicks": 180, "rate": 0.0375, "low": 0.0325, "high": 0.0432}
    none = {"exposures": 0, "clicks": 0, "rate": None, "low": None, "high": None}
    since = at.isoformat()
    return {
        "rollout_id": "3",
        "version": "7",
        "primary_version": "6",
        "state": "holding",
        "steps": [5, 25, 100],
        "step": 1,
        "every_seconds": 1800.0,
        "reason": "not decided within 24 h",
        "started_by": "ci@main",
        "answered_by": None,
        "created_at": since,
        "step_since": since,
        "reviewed_at": since,
        "ended_at": None,
        "curves": [
            {"percent": 5, "since": since, "canary": arm, "primary": arm},
            {"percent": 25, "since": since, "canary": none, "primary": arm},
        ],
        "difference": None,
    }


def _audit_entry(at: datetime) -> dict[str, Any]:
    return {
        "id": 17,
        "at": at.isoformat(),
        "service": "model-registry",
        "token": "ci-main",
        "action": "POST /models/{name}/deployments",
        "target": "/models/ranker/deployments",
        "status": 201,
        "by": "li.wei",
        "reason": "nightly training",
        "request_id": "req_2",
    }


_PLACES = [
    {"model_version": "6", "variant": variant, "endpoint": "/recommend/user"} for variant in ("canary", "control")
]

_DATABASES = [{"service": service, "database": "recsys"} for service in ("feature-sync", "model-registry")]


# What Prometheus answers to a query that has this text, the first that fits: labels and level of each series.
_ANSWERS: list[tuple[str, list[dict[str, str]], list[float]]] = [
    ("sync_exposures", _PLACES, [4800.0, 43210.4]),
    ("sync_outcomes", [{**place, "type": "click"} for place in _PLACES], [180.0, 1473.6]),
    ("database_pool_limit", _DATABASES, [30.0, 45.0]),
    (
        "database_pool_connections",
        [{**each, "state": state} for each in _DATABASES for state in ("in_use", "idle")],
        [2.0, 3.0, 45.0, 0.0],
    ),
    ("database_up", _DATABASES, [1.0, 0.0]),
    ("database_connection_wait_seconds", _DATABASES, [0.4, 4800.0]),
    # No connection of the second was opened in the last hour.
    ("database_connect_seconds", _DATABASES[:1], [6.25]),
    ("sync_snapshot_age", [{}], [1_500.0]),
    ('sync_stream_lag_seconds{group="live"}', [{}], [2.5]),
    # Of the event log and of deleted datasets nothing is known yet.
    ("sync_stream_lag", [], []),
    ("sync_deleted", [], []),
    ("sync_", [{"outcome": "done"}, {"outcome": "failed"}], [20.0, 1.0]),
    ("stage", [{"stage": stage} for stage in ("read", "recall", "rank")], [0.002, 0.004, 0.009]),
    (
        "responses",
        [{"status": "200", "reason": "redis_unavailable"}, {"status": "503", "reason": "overloaded"}],
        [12.0, 3.0],
    ),
    ("request_seconds", [{}], [0.021]),
    (
        "version",
        [{"version": version, "level": level} for version in ("5", "6") for level in ("0", "2")],
        [990.0, 10.0, 1_900.0, 100.0],
    ),
    ("", [{"level": str(number)} for number in range(4)], [900.0, 20.0, 60.0, 8.0]),
]


def _levels(asked: str) -> tuple[list[dict[str, str]], list[float]]:
    if "shadow" in asked:
        return _shadow(asked)
    return next((labels, level) for text, labels, level in _ANSWERS if text in asked)


def _shadow(asked: str) -> tuple[list[dict[str, str]], list[float]]:
    """Return the samples of the shadow's metrics."""
    version = {"version": "7"}
    if "questions" in asked:
        return [version | {"outcome": outcome} for outcome in ("compared", "dropped")], [4321.0, 12.0]
    if "seconds" in asked:
        return [version | {"model": model} for model in ("primary", "shadow")], [1.2, 3.4]
    figure = next(
        value for name, value in (("overlap", 0.873), ("difference", 0.0215), ("psi", 0.061)) if name in asked
    )
    return [version], [figure]


class _Handler(BaseHTTPRequestHandler):
    server: Surroundings

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        body = json.dumps(self.server.answer(asked.path, parse_qs(asked.query))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so in the base class
        """Silence."""


# Not for the session: while it runs, its event loop is this thread's, and other tests have loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    assert program is not None, "run `python -m native prerequisites`"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def surroundings(watch: Watch) -> Iterator[Surroundings]:
    server = Surroundings(watch)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def running(sqlite_url: str, watch: Watch, surroundings: Surroundings) -> Iterator[RunningApp]:
    app = create_app(settings(sqlite_url, prometheus_url=surroundings.url, registry_url=surroundings.url), clock=watch)
    with RunningApp(app) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(locale="zh-CN", viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.problems = []  # type: ignore[attr-defined]
    opened.on("console", lambda message: message.type == "error" and opened.problems.append(message.text))
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    yield opened
    # Among them would be everything that the page's own security policy refuses.
    assert opened.problems == []
    context.close()


def send(running: RunningApp, *signals: Any) -> None:
    body = {"signals": [each.model_dump(mode="json") for each in signals]}
    assert running.post("/signals", body, token=TOKEN).status_code == 202


def busy_hour(running: RunningApp, watch: Watch) -> None:
    """Fire the signals of a bad hour."""
    event = "0123456789abcdef0123456789abcdef"
    now = watch.now
    for minute in range(0, 55, 2):
        at = now - timedelta(minutes=minute)
        send(
            running,
            signal(
                ("redis", "connection_failed"),
                at,
                level="warning",
                service="recommender-api",
                occurrences=minute % 9 + 1,
            ),
            signal(
                ("get_similar", "timeout"),
                at,
                monitoring_point="api.similar_timeout",
                category="api",
                occurrences=minute % 5 + 1,
            ),
        )
    quality = {
        "monitoring_point": "pipeline.data_quality",
        "category": "data_quality",
        "service": "pipeline",
        "level": "warning",
    }
    for days in range(7):
        for check, value, bound in (
            ("interactions.null_ts", "0.004", "0.01"),
            ("interactions.negative_price", "0.061", "0.05"),
        ):
            tags = {"check_name": check, "metric_value": value, "threshold": bound, "severity": "warning"}
            send(running, signal(("data_quality", check), now - timedelta(days=days), tags=tags, **quality))
    send(
        running,
        signal(at=now, event_id=event, message="deploy of version 5 refused: checksum of ranker.txt differs"),
        signal(("airflow", "daily", "train"), now, monitoring_point="airflow.task_failed", service="airflow"),
        signal(
            ("database", "business", "extract", "OperationalError"),
            now,
            monitoring_point="pipeline.database",
            service="pipeline",
            message="connection refused",
        ),
        signal(
            ("feature_store", "sync", "TimeoutError"),
            now,
            monitoring_point="pipeline.feature_store_sync",
            service="feature-sync",
        ),
    )


@pytest.mark.parametrize(
    ("name", "scheme", "width"), [("light", "light", 1280), ("dark", "dark", 1280), ("phone", "light", 390)]
)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_tab_is_readable_in_both_languages_and_themes_also_on_a_phone(
    running: RunningApp, page: Page, watch: Watch, name: str, scheme: Any, width: int, language: str
) -> None:
    busy_hour(running, watch)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    for tab in TABS:
        page.goto(f"{running.url}/dashboard{tab}?lang={language}")
        expect(page.locator("nav [aria-current]")).to_be_visible()
        # Nothing reaches past the right edge.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for chart in page.locator(".chart").all():
            expect(chart.locator("canvas")).to_be_visible()
        shown = page.locator("body").inner_text()
        assert ("模型部署失败" in shown or "model.deployment_failed" in shown) is (tab in ("", "/models", "/incidents"))
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{tab[1:] or 'overview'}-{name}-{language}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_pages(running: RunningApp, page: Page, watch: Watch, scheme: Any) -> None:
    busy_hour(running, watch)
    degraded = {
        "request_id": "req_1",
        "at": watch.now.isoformat(),
        "service": "recommender-api",
        "environment": "test",
        "endpoint": "/similar/{dataset_id}",
        "status": 200,
        "level": 1,
        "reason": "redis_unavailable",
        "duration_ms": 4.5,
        "points": [{"monitoring_point": "redis.connection_failed", "fingerprint": ["redis", "connection_failed"]}],
    }
    body = {"service": "recommender-api", "requests": [degraded], "left_out": 0}
    assert running.post("/requests", body, token=TOKEN).status_code == 202
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{running.url}/dashboard?lang=en")
    page.locator("footer summary").click()
    page.get_by_label("Token of an admin").fill(ADMIN)
    page.get_by_role("button", name="Sign in").click()
    for path in ("", "/live", "/data", "/models", "/incident/1", "/request/req_1", "/audit"):
        page.goto(f"{running.url}/dashboard{path}")
        found = [
            f"{each['id']}: {node['html'][:150]}: {node['failureSummary']}"
            for each in Axe().run(page).response["violations"]
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]
        assert not found, "\n".join([path, *found])


def test_the_panels_show_what_prometheus_and_the_registry_say(running: RunningApp, page: Page, watch: Watch) -> None:
    busy_hour(running, watch)
    page.goto(f"{running.url}/dashboard?lang=en")
    # The fourth, what is not delivered, depends on how far the deliveries are.
    tiles = page.locator(".tile b").all_inner_texts()
    assert tiles[:3] + tiles[4:5] + tiles[6:] == ["3", "3", "2", "8.9%", "v6"]
    assert tiles[5].startswith("0.0% (0 / ")
    page.goto(f"{running.url}/dashboard/live")
    rows = page.locator("tr:has(td.meter)")
    assert rows.count() == 8
    assert "get_similar / timeout" in rows.nth(1).inner_text()
    assert rows.nth(1).locator("svg.history rect").count() == 11
    link = rows.nth(1).locator("a")
    assert "get_similar / timeout" in link.inner_text()
    assert re.fullmatch(r"/dashboard/incident/\d+", link.get_attribute("href") or "")
    expect(page.locator(".u-legend")).to_have_count(4)
    reasons, quantiles = (page.locator(".u-legend").nth(number).inner_text() for number in (2, 3))
    assert all(reason in reasons for reason in ("200 redis_unavailable", "503 overloaded"))
    assert all(quantile in quantiles for quantile in ("p50", "p95", "p99"))
    stages = page.locator("tr:has(svg.heat)")
    assert [row.inner_text().split()[0] for row in stages.all()] == ["read", "recall", "rank"]
    assert [row.locator("svg.heat rect").count() for row in stages.all()] == [31] * 3
    assert "ms" in stages.nth(2).inner_text()
    page.goto(f"{running.url}/dashboard/data")
    assert "20 / 21" in page.locator(".tile b").first.inner_text()
    assert "last run: v7, 1 d ago" in page.locator(".two section").first.inner_text()
    nulls, others = (page.locator(".two section table").nth(number).inner_text() for number in (0, 1))
    assert nulls.splitlines()[1:] == ["ok interactions.null_ts\t0\t0.01", "warning datasets.null_title\t0.004\t0.01"]
    assert "warning interactions.negative_price\t0.031\t0.05" in others
    findings = page.locator("section", has_text="Findings").last.inner_text()
    assert "interactions.negative_price" in findings
    assert "d ago" not in findings
    page.goto(f"{running.url}/dashboard/models")
    text = page.locator("main").inner_text()
    assert all(part in text for part in ("ci@main", "nightly training", "shadow v7", "primary v6", "0.2020"))


def test_the_models_tab_shows_fallback_by_version_and_the_live_shadow(running: RunningApp, page: Page) -> None:
    page.goto(f"{running.url}/dashboard/models?lang=en")
    rates = page.locator("tr:has(td.meter)").all_inner_texts()
    assert [" ".join(row.split()) for row in rates] == ["v6 5.00% 2000 answers", "v5 1.00% 1000 answers"]
    over_time = page.locator("section", has_text="Fallback rate by version over time").last.locator(".u-legend")
    assert all(version in over_time.inner_text() for version in ("v5", "v6"))
    live = page.locator("section", has_text="Shadow, live").last.locator("tr").all_inner_texts()
    assert [row.split("\t") for row in live] == [
        ["", "v7"],
        ["Overlap of the first ten", "0.873"],
        ["Mean score difference", "0.0215"],
        ["Score PSI (large above 0.25)", "0.061"],
        ["Primary p99", "1.2 ms"],
        ["Shadow p99", "3.4 ms"],
        ["Compared", "4321"],
        ["Dropped", "12"],
        ["Failed", "0"],
    ]


def test_the_data_tab_shows_the_connections_to_each_database(running: RunningApp, page: Page) -> None:
    page.goto(f"{running.url}/dashboard/data?lang=en")
    rows = page.locator("section", has_text="Database connections").last.locator("tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["feature-sync", "recsys", "up", "2 / 30", "3", "0.4 ms", "6.2 ms"],
        ["model-registry", "recsys", "down", "45 / 45", "0", "4800.0 ms", "–"],
    ]
    over_time = page.locator("section", has_text="Wait for a database connection").last.locator(".u-legend")
    assert all(f"{service} recsys" in over_time.inner_text() for service in ("feature-sync", "model-registry"))


def test_the_data_tab_shows_how_old_each_source_is_and_leaves_out_what_was_never_read(
    running: RunningApp, page: Page
) -> None:
    report = {"checks": [{"check": "interactions.freshness_days", "severity": "ok", "value": 1.25, "threshold": 2}]}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    put = partial(running.http.put, headers=headers)
    page_of_run = b"<!doctype html><title>run</title>"
    html = headers | {"Content-Type": "text/html"}
    assert put("/reports/run-1?outcome=succeeded", content=page_of_run, headers=html).status_code == 200
    assert put("/reports/run-1/checks", json=report).status_code == 204
    page.goto(f"{running.url}/dashboard/data?lang=en")
    rows = page.locator("section", has_text="Freshness of each source").last.locator("tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["Interactions of the business database (at the last run)", "1 d"],
        ["Snapshot of the user features", "25 min"],
        ["Behaviour events → live features", "2 s"],
    ]


def test_the_live_tab_shows_requests_by_status_and_reason(running: RunningApp, page: Page) -> None:
    page.goto(f"{running.url}/dashboard/live?lang=en")
    rows = page.locator("section", has_text="Requests by status and reason").last.locator("tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [["200", "redis_unavailable", "12"], ["503", "overloaded", "3"]]


def test_offline_metrics_have_their_intervals(running: RunningApp, page: Page) -> None:
    page.goto(f"{running.url}/dashboard/models?lang=en")
    box = page.locator("section", has_text="Offline metrics").first.locator(".chart")
    shown = [row for row in box.locator(".u-legend tr").all() if row.is_visible()]
    # Its own comes before that of a baseline, which has no interval.
    assert [row.locator("th").inner_text() for row in shown[1:]] == ["ndcg@10", "ndcg@10_ease"]
    box.locator(".u-over").hover(position={"x": 1, "y": 1})
    expect(shown[1]).to_contain_text("0.166 (0.156–0.186)")


def test_without_the_metrics_the_panel_of_connections_says_what_would_fill_it(
    running: RunningApp, page: Page, surroundings: Surroundings
) -> None:
    surroundings.unknown = "database_"
    page.goto(f"{running.url}/dashboard/data?lang=en")
    section = page.locator("section", has_text="Database connections").last.inner_text()
    assert "Prometheus, when it scrapes the /metrics of the services" in section
    assert page.locator("section", has_text="Wait for a database connection").count() == 0


def test_charts_and_texts_are_in_one_zone_that_the_page_names(running: RunningApp, page: Page, watch: Watch) -> None:
    """The clock of the browser is that of the machine, UTC; the gateway's is eight hours ahead."""
    busy_hour(running, watch)
    page.add_init_script(
        """window.drawn = []; const draw = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
          window.drawn.push(text); return draw.call(this, text, ...rest);
        };"""
    )
    page.goto(f"{running.url}/dashboard/live?lang=en")
    assert "20:00:30 Asia/Shanghai" in page.locator("footer").inner_text()
    hours = {text[:2] for text in page.evaluate("window.drawn") if re.fullmatch(r"\d\d:\d\d", text)}
    assert hours == {"19", "20"}


def test_the_axis_of_a_chart_with_one_moment_does_not_repeat_it(running: RunningApp, page: Page) -> None:
    page.goto(f"{running.url}/dashboard/live?lang=en")
    page.evaluate(
        """() => {
          const box = document.querySelector(".chart");
          const data = JSON.parse(box.dataset.chart);
          data.x = data.x.slice(0, 1);
          data.series.forEach((each) => (each.values = each.values.slice(0, 1)));
          box.dataset.chart = JSON.stringify(data);
          window.drawn = []; const draw = CanvasRenderingContext2D.prototype.fillText;
          CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
            if (this.canvas === document.querySelector(".chart canvas")) window.drawn.push(text);
            return draw.call(this, text, ...rest);
          };
        }"""
    )
    page.locator("#theme").click()
    times = [text for text in page.evaluate("window.drawn") if re.fullmatch(r"\d\d:\d\d", text)]
    assert len(times) == len(set(times)) > 0


def test_the_models_tab_shows_what_came_of_exposures(running: RunningApp, page: Page) -> None:
    page.goto(f"{running.url}/dashboard/models?lang=en")
    rows = page.locator("section", has_text="What came of exposures").last.locator("tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        [
            "v6",
            "control",
            "/recommend/user",
            "0.1960",
            "43210",
            "3.41% (3.24–3.59)",
            "0.00% (0.00–0.01)",
            "0.00% (0.00–0.01)",
        ],
        [
            "v6",
            "canary",
            "/recommend/user",
            "0.1960",
            "4800",
            "3.75% (3.25–4.33)",
            "0.00% (0.00–0.08)",
            "0.00% (0.00–0.08)",
        ],
    ]


def test_the_models_tab_shows_a_rollout_with_both_curves_and_what_it_asks(running: RunningApp, page: Page) -> None:
    page.goto(f"{running.url}/dashboard/models?lang=en")
    card = page.locator("section", has=page.locator("h2", has_text="Rollout"))
    assert "v7 · step 2 of 3 · 25 % · since" in card.locator("h2").inner_text()
    assert "holding not decided within 24 h" in card.inner_text()
    rows = [row.split("\t")[:3] for row in card.locator("tbody tr").all_inner_texts()]
    assert rows == [["5 %", "3.75% (3.25–4.32)", "3.75% (3.25–4.32)"], ["25 %", "–", "3.75% (3.25–4.32)"]]


def test_an_open_page_is_updated_automatically(running: RunningApp, page: Page, watch: Watch) -> None:
    page.goto(f"{running.url}/dashboard?lang=en")
    expect(page.locator("#news.on")).to_be_visible()
    assert "Nothing is wrong." in page.locator("main").inner_text()
    send(running, signal(at=watch.now))
    expect(page.locator("main")).to_contain_text("model.deployment_failed", timeout=5000)


def test_the_theme_can_be_chosen_and_is_remembered(running: RunningApp, page: Page) -> None:
    page.goto(f"{running.url}/dashboard")
    page.locator("#theme").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_a_signed_in_person_can_acknowledge_and_silence_from_the_page(
    running: RunningApp, page: Page, watch: Watch
) -> None:
    send(running, signal(at=watch.now))
    page.goto(f"{running.url}/dashboard?lang=en")
    page.locator("footer summary").click()
    page.get_by_label("Token of an admin").fill(ADMIN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_placeholder("your name").fill("li.wei")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("main")).to_contain_text("✓ li.wei")
    page.goto(f"{running.url}/dashboard/silences")
    page.locator("[name=fingerprint]").fill("model / *")
    page.locator("[name=reason]").fill("planned")
    page.locator("[name=by]").fill("li.wei")
    page.get_by_role("button", name="Silence").click()
    expect(page.locator("tbody")).to_contain_text("fingerprint=model / *")
    page.get_by_role("button", name="End").click()
    expect(page.locator("main")).to_contain_text("Nothing is silenced.")


def test_without_prometheus_and_registry_the_panels_say_how_to_get_them(sqlite_url: str, page: Page) -> None:
    with RunningApp(create_app(settings(sqlite_url))) as running:
        page.goto(f"{running.url}/dashboard/live?lang=en")
        assert "Set PROMETHEUS_URL" in page.locator("main").inner_text()
        page.goto(f"{running.url}/dashboard/models")
        assert "Set REGISTRY_URL" in page.locator("main").inner_text()
        page.goto("about:blank")


def test_a_source_that_is_down_affects_only_its_panel(sqlite_url: str, page: Page) -> None:
    with RunningApp(create_app(settings(sqlite_url, prometheus_url="http://127.0.0.1:9"))) as running:
        page.goto(f"{running.url}/dashboard/live?lang=en")
        assert "Prometheus does not answer: ConnectError" in page.locator("main").inner_text()
        page.goto("about:blank")


def test_without_a_session_nothing_is_changed(running: RunningApp, watch: Watch) -> None:
    send(running, signal(at=watch.now))
    silence = {"fingerprint": "model / *", "reason": "x", "by": "x", "minutes": "5"}
    for cookie in ("", "9999999999.0000", f"9999999999.{'0' * 64}"):
        cookies = {"Cookie": f"dashboard_session={cookie}"}
        for path, form in (("incidents/1/acknowledge", {"by": "x"}), ("silences", silence), ("silences/1/end", {})):
            assert running.http.post(f"/dashboard/{path}", data=form, headers=cookies).status_code == 401
    assert running.http.post("/dashboard/session", data={"token": "wrong"}).status_code == 401
    assert running.ask("/alerts")["alerts"][0]["acknowledged_by"] is None


def test_text_of_others_is_escaped(running: RunningApp, page: Page, watch: Watch) -> None:
    send(running, signal(("x", "<img src=x onerror=alert(1)>"), watch.now, message="<script>alert(1)</script>"))
    page.goto(f"{running.url}/dashboard?lang=en")
    assert "<script>alert(1)</script>" in page.locator("main").inner_text()
    assert page.locator("main script, main img").count() == 0


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "zh"),
        ("en", "en"),
        ("fr,en;q=0.5", "en"),
        ("en;q=0,zh;q=1", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB;q=0.9, zh;q=0.3", "en"),
        ("de, fr", "zh"),
        ("en;q=nonsense", "en"),
    ],
)
def test_the_language_is_the_one_that_the_browser_prefers(accepted: str, language: str) -> None:
    assert choose_language(None, None, accepted) == language
