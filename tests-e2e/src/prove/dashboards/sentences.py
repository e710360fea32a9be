"""The sentences about the dashboards, each with an assertion on the pages of a stack that has lived."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from contracts.deployments import DeploymentMode
from prove.dashboards.browser import PHONE, Dashboards, Language
from prove.dashboards.script import REASONS, Lived

TABS = ("live", "data", "models")
MAX_BYTES = 100_000
_LANGUAGES: Sequence[Language] = ("zh", "en")
# Shares cover five minutes.
_SMOOTHING_SECONDS = 300
# Of counts between two scrapes, the first and the last are estimated.
_TOLERANCE = 0.15
_MAX_TAB_STOPS = 300

Check = Callable[[Dashboards, Lived], None]


def latency_has_a_distribution(shown: Dashboards, _lived: Lived) -> None:
    """p50, p95 and p99."""
    shown.open("live")
    chart = shown.chart("Latency of requests")
    assert list(chart.series) == ["p50", "p95", "p99"]
    for moment in zip(*chart.series.values(), strict=True):
        values = [each for each in moment if each is not None]
        assert values == sorted(values), values
    assert chart.largest("p50") > 0


def stages_have_a_heat_map(shown: Dashboards, _lived: Lived) -> None:
    """read, recall, rank; a cell for two minutes."""
    shown.open("live")
    maps = shown.section("Latency of the critical path by stage").locator("tr:has(svg.heat)")
    assert [each.inner_text().split()[0] for each in maps.all()] == ["read", "recall", "rank"]
    for each in maps.all():
        assert each.locator("svg.heat rect").count() >= 4
        assert re.search(r"[0-9.]+ ms", each.inner_text())


def degraded_answers_have_levels(shown: Dashboards, lived: Lived) -> None:
    """The levels that callers saw while Redis was down, and none before."""
    shown.open("live")
    chart = shown.chart("Fallback share by level")
    began, ended = lived.redis_down
    seen = {level for level in lived.answered.levels if level != "0"}
    assert seen
    for label in chart.series:
        during = chart.largest(label, began, ended + _SMOOTHING_SECONDS)
        assert (during > 0) is (label[0] in seen), f"{label}: {during} %, callers saw levels {sorted(seen)}"
        assert chart.largest(label, 0, began) == 0, label


def errors_are_shown_by_minute(shown: Dashboards, lived: Lived) -> None:
    """Sixty minutes; bars where Redis was down."""
    shown.open("live")
    chart = shown.chart("Errors and warnings in the last hour")
    assert len(chart.x) == 60
    assert {later - earlier for earlier, later in zip(chart.x, chart.x[1:], strict=False)} == {60}
    began, ended = lived.redis_down
    assert chart.largest("warning", began - 60, ended + 60) + chart.largest("error", began - 60, ended + 60) > 0


def fingerprints_are_ranked_and_linked(shown: Dashboards, _lived: Lived) -> None:
    """At most ten, the most frequent first; each with a sparkline, and a link to its incident."""
    shown.open("live")
    rows = shown.section("Top fingerprints").locator("tbody tr")
    counts = [int(row[-1]) for row in shown.rows("Top fingerprints")]
    assert 3 <= len(counts) <= 10
    assert counts == sorted(counts, reverse=True)
    for row in rows.all():
        assert row.locator("svg.history rect").count() > 0
        assert row.locator("a[href^='/dashboard/incident/']").count() == 1
    redis = rows.filter(has_text="redis / connection_failed").first
    redis.locator("a").click()
    shown.page.wait_for_url("**/dashboard/incident/*")
    assert "redis / connection_failed" in shown.page.locator("main").inner_text()


def requests_have_status_and_reason(shown: Dashboards, lived: Lived) -> None:
    """As many as callers counted."""
    shown.open("live")
    rows = shown.rows("Requests by status and reason")
    for status, count in lived.answered.statuses.items():
        total = sum(int(row[2]) for row in rows if row[0] == status)
        assert abs(total - count) <= max(3, count * _TOLERANCE), f"{status}: {total} shown, {count} answered"
    assert any(row[:2] == ["200", "redis_unavailable"] for row in rows), rows
    assert "200 redis_unavailable" in shown.chart("Degraded and failed answers by reason").series


def failed_checks_are_shown_over_time(shown: Dashboards, _lived: Lived) -> None:
    """That one that stopped a training, and those that did not."""
    shown.open("data")
    chart = shown.chart("Failed checks")
    assert chart.largest("error") > 0
    assert chart.largest("warning") > 0


def syncs_have_a_success_rate(shown: Dashboards, _lived: Lived) -> None:
    """Attempts and failures: two trainings have synced, and one snapshot was damaged."""
    shown.open("data")
    assert shown.tile("Syncs that succeeded · 7 d") == "67% (2 / 3)"
    assert "pipeline.feature_store_sync" in shown.section("Feature sync").inner_text()


def databases_have_a_health(shown: Dashboards, _lived: Lived) -> None:
    """Pool in use, wait, connect time and up, of each service's database."""
    shown.open("data")
    rows = shown.rows("Database connections")
    assert {row[0] for row in rows} == {"feature-sync", "model-registry", "notification-gateway"}
    for _service, database, state, in_use, idle, wait, connect in rows:
        assert (database, state) == ("recsys", "up")
        assert re.fullmatch(r"\d+ / \d+", in_use)
        assert idle.isdecimal()
        assert re.fullmatch(r"[0-9.]+ ms", wait), rows
        assert re.fullmatch(r"[0-9.]+ ms", connect), rows
    assert shown.chart("Wait for a database connection").series


def missing_values_and_outliers_have_a_history(shown: Dashboards, _lived: Lived) -> None:
    """Of the three trainings; prices were missing in two of them."""
    shown.open("data")
    rows = {row[0]: row for row in shown.rows("Missing values, outliers and freshness over time")}
    assert float(rows["datasets.null_price"][2]) > 0.2
    assert float(rows["datasets.outlier_price"][2]) > 0
    history = (
        shown.section("Missing values, outliers and freshness over time")
        .locator("tr", has_text="datasets.null_price")
        .locator("svg.history path")
    )
    assert [each.get_attribute("class") for each in history.all()] == ["ok", "critical", "warning"]


def sources_have_an_age(shown: Dashboards, _lived: Lived) -> None:
    """Interactions, the snapshot, and the behaviour events."""
    shown.open("data")
    ages = {row[0]: row[1] for row in shown.rows("Freshness of each source")}
    for source in ("Interactions of the business database", "Snapshot of the user features", "Behaviour events"):
        found = [age for name, age in ages.items() if name.startswith(source)]
        assert found, (source, ages)
        assert all(re.fullmatch(r"\d+ (d|h|min|s)", age) for age in found), ages


def trainings_have_a_success_rate(shown: Dashboards, _lived: Lived) -> None:
    """Of four that began, one was stopped by a check, and one was killed before it had a page."""
    shown.open("models")
    assert shown.tile("Trainings that succeeded · 30 d") == "50% (2 / 4)"


def steps_have_durations(shown: Dashboards, _lived: Lived) -> None:
    """Those of the last runs."""
    shown.open("models")
    rows = {row[0]: row for row in shown.rows("Duration of each step")}
    assert {"extract", "quality", "train", "evaluate", "deploy"} <= set(rows), sorted(rows)
    assert all(re.fullmatch(r"[0-9.]+ s", row[2]) for row in rows.values())


def deployments_say_who_and_why(shown: Dashboards, lived: Lived) -> None:
    """Each with its mode and time."""
    shown.open("models")
    rows = shown.rows("Deployments")
    modes: Sequence[tuple[DeploymentMode, str]] = (("canary", lived.canary), ("shadow", lived.shadow))
    for mode, version in modes:
        row = next(row for row in rows if row[:2] == [f"v{version}", mode])
        assert (row[3], row[4]) == ("li.wei", REASONS[mode]), row
    trained = next(row for row in rows if row[:2] == [f"v{lived.trained}", "primary"])
    assert trained[2] == "active"
    assert "–" not in trained[3:5], trained


def offline_metrics_have_intervals(shown: Dashboards, lived: Lived) -> None:
    """Of all versions."""
    shown.open("models")
    chart = shown.chart("Offline metrics")
    name = "ndcg@10"
    assert len(chart.x) == int(lived.trained)
    for low, value in zip(chart.low[name], chart.series[name], strict=True):
        assert low is not None
        assert value is not None
        assert low <= value
    assert re.search(r"ndcg@10", shown.section("Offline metrics").locator(".u-legend").inner_text())


def versions_have_a_degradation_rate(shown: Dashboards, lived: Lived) -> None:
    """The canary's beside the primary's."""
    shown.open("models")
    chart = shown.chart("Fallback rate by version over time")
    assert chart.largest(f"v{lived.canary}") > 0
    assert chart.largest("v1") > 0
    assert f"v{lived.canary}" in {row[0] for row in shown.rows("Fallback rate by version")}


def shadow_and_canary_are_compared(shown: Dashboards, lived: Lived) -> None:
    """The shadow by its mirrored requests, both by their offline metrics."""
    shown.open("models")
    live = shown.section("Shadow, live")
    assert f"v{lived.shadow}" in live.inner_text()
    compared = {row[0]: row[1] for row in shown.rows("Shadow, live")}
    assert int(compared["Compared"]) > 0
    assert float(compared["Overlap of the first ten"]) > 0
    offline = shown.section("Offline metrics of shadow and canary").inner_text()
    assert f"shadow v{lived.shadow}" in offline
    assert f"canary v{lived.canary}" in offline


def nothing_is_not_set_up(shown: Dashboards, _lived: Lived | None) -> None:
    """In either language."""
    for language in _LANGUAGES:
        for tab in TABS:
            text = shown.open(tab, language).inner_text()
            assert "Not set up" not in text, tab
            assert "未配置" not in text, tab
            assert "does not answer" not in text, tab


def empty_panels_say_what_fills_them(shown: Dashboards, _lived: Lived | None) -> None:
    """In either language."""
    words_of: Sequence[tuple[Language, str]] = (("en", "Filled by:"), ("zh", "由此填充:"))
    for language, words in words_of:
        for tab in TABS:
            shown.open(tab, language)
            for text in shown.empty_panels():
                assert words in text, (tab, text)


def a_page_has_one_time_zone(shown: Dashboards, _lived: Lived) -> None:
    """That of its footer, in texts and on axes, whatever the browser's is."""
    shown.page.add_init_script(
        """window.drawn = []; const draw = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
          window.drawn.push(text); return draw.call(this, text, ...rest);
        };"""
    )
    zone = "Asia/Shanghai"
    for tab in TABS:
        assert zone in shown.open(tab).locator("footer").inner_text()
        now = datetime.now(UTC).astimezone(ZoneInfo(zone))
        hours = {text[:2] for text in shown.page.evaluate("window.drawn") if re.fullmatch(r"\d\d:\d\d", text)}
        assert hours <= {f"{now - timedelta(hours=back):%H}" for back in (-1, 0, 1)}, (tab, hours)
        assert tab != "live" or hours


def pages_are_small(shown: Dashboards, _lived: Lived) -> None:
    """Below 100 kB."""
    sizes = {tab: shown.size(tab) for tab in TABS}
    assert max(sizes.values()) < MAX_BYTES, sizes


def pages_fit_a_phone(shown: Dashboards, _lived: Lived) -> None:
    """Nothing reaches past the right edge; charts are drawn."""
    height = 844
    before = shown.page.viewport_size
    shown.page.set_viewport_size({"width": PHONE, "height": height})
    try:
        for language in _LANGUAGES:
            for tab in TABS:
                shown.open(tab, language)
                width = shown.page.evaluate("document.documentElement.scrollWidth")
                assert width <= PHONE, (tab, language, width)
    finally:
        assert before is not None
        shown.page.set_viewport_size(before)


def pages_work_with_the_keyboard(shown: Dashboards, _lived: Lived) -> None:
    """Each link and button gets a focus that is seen; Enter follows a link."""
    for tab in TABS:
        shown.open(tab)
        wanted = shown.page.evaluate(
            "[...document.querySelectorAll('a[href], button, summary')].filter((each) => each.checkVisibility()).length"
        )
        reached = 0
        for _ in range(_MAX_TAB_STOPS):
            shown.page.keyboard.press("Tab")
            name, outline = shown.page.evaluate(
                "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
            )
            if name == "BODY":
                break
            assert outline != "none", (tab, name)
            reached += name in {"A", "BUTTON", "SUMMARY"}
        assert reached == wanted, (tab, reached, wanted)
    shown.open("live")
    shown.page.locator("nav a", has_text="Model").first.focus()
    shown.page.keyboard.press("Enter")
    shown.page.wait_for_url("**/dashboard/models")


SENTENCES: Sequence[tuple[str, Check]] = (
    ("live: latency has p50, p95, p99", latency_has_a_distribution),
    ("live: a heat map by stage", stages_have_a_heat_map),
    ("live: degraded answers over time by level", degraded_answers_have_levels),
    ("live: errors of the last hour by minute", errors_are_shown_by_minute),
    ("live: top fingerprints, sparkline and link", fingerprints_are_ranked_and_linked),
    ("live: requests by status and reason", requests_have_status_and_reason),
    ("data: failed checks over time", failed_checks_are_shown_over_time),
    ("data: feature-sync success rate of 7 days", syncs_have_a_success_rate),
    ("data: connection health per database", databases_have_a_health),
    ("data: missing values and outliers over time", missing_values_and_outliers_have_a_history),
    ("data: freshness of each source", sources_have_an_age),
    ("model: training success rate over runs begun", trainings_have_a_success_rate),
    ("model: step durations", steps_have_durations),
    ("model: deployments with who and why", deployments_say_who_and_why),
    ("model: offline metrics over time with intervals", offline_metrics_have_intervals),
    ("model: degradation by version over time", versions_have_a_degradation_rate),
    ("model: shadow and canary", shadow_and_canary_are_compared),
    ("all: nothing is 'Not set up'", nothing_is_not_set_up),
    ("all: empty panels say what fills them", empty_panels_say_what_fills_them),
    ("all: one time zone a page, shown", a_page_has_one_time_zone),
    ("all: pages under 100 kB", pages_are_small),
    ("all: works on a phone", pages_fit_a_phone),
    ("all: works with the keyboard", pages_work_with_the_keyboard),
)
FRESH: Sequence[tuple[str, Callable[[Dashboards, None], None]]] = (
    ("fresh: nothing is 'Not set up'", nothing_is_not_set_up),
    ("fresh: empty panels say what fills them", empty_panels_say_what_fills_them),
)
