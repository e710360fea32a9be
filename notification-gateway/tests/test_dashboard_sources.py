"""Odd answers of Prometheus and the registry, and odd figures of runs, break no tab."""

import html
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from odd_sources import OddSources, deployment

from contracts.run_reports import RunCheck, RunChecks, RunReport
from notification_gateway.dashboard.page import Tab
from notification_gateway.reports.queries import store_checks, store_report
from running_gateway import SteppedGateway

TABS: tuple[Tab, ...] = ("overview", "live", "data", "models")
LABELS = ("level", "reason", "status", "stage", "version", "outcome", "state", "service", "database", "model_version")


@pytest.fixture
def sources() -> Iterator[OddSources]:
    with OddSources() as server:
        server.labels = [dict.fromkeys(LABELS, "1") | {"stage": "read", "outcome": "compared"}]
        yield server


@pytest.fixture
def gateway(step_with: Callable[..., SteppedGateway], sources: OddSources) -> SteppedGateway:
    return step_with(prometheus_url=sources.url, registry_url=sources.url)


def render(gateway: SteppedGateway, tab: Tab) -> str:
    """Return a tab, of which the script can read every chart."""
    with gateway.gateway.storage.read() as connection:
        page = gateway.gateway.dashboard.page.render(tab, "en", connection, gateway.watch.now, may_change=True)
    for chart in re.findall(r'data-chart="([^"]*)"', page):
        json.loads(html.unescape(chart), parse_constant=pytest.fail)
    return page


def ages(gateway: SteppedGateway) -> list[str]:
    return re.findall(r'<td class="num">(\d+ \w+)</td></tr>', render(gateway, "data").partition("Freshness of")[2])


def store_freshness(gateway: SteppedGateway, days: float) -> None:
    store_check(gateway, "run", "interactions.freshness_days", days)


def store_check(gateway: SteppedGateway, run: str, name: str, value: float) -> None:
    report = RunReport(run=run, run_id=None, outcome="failed", posted_at=gateway.watch.now, size_bytes=1)
    check = RunCheck(check=name, severity="ok", value=value, threshold=2)
    with gateway.gateway.storage.transaction() as connection:
        store_report(connection, report, b"page")
        store_checks(connection, run, RunChecks(checks=[check]))


def test_no_figure_of_prometheus_breaks_a_tab(gateway: SteppedGateway, sources: OddSources) -> None:
    for value in ("+Inf", "-Inf", "NaN", "1e308", "-1e308", "1e15"):
        sources.value = value
        for tab in TABS:
            assert "Prometheus does not answer" not in render(gateway, tab), (value, tab)


def test_what_is_not_prometheus_answer_is_no_data(gateway: SteppedGateway, sources: OddSources) -> None:
    for result in (
        5,
        "text",
        [1],
        [{"metric": None, "value": [1, "1"], "values": [[1, "1"]]}],
        [{"metric": {}, "value": [], "values": [[1]]}],
        [{"metric": {"level": 5, "version": 7, "stage": "read"}, "value": [1, "2"], "values": [[1, "2"]]}],
        [{"metric": {"stage": "read"}, "value": [1e300, "2"], "values": [[1e300, "2"]]}],
    ):
        sources.result = result
        render(gateway, "overview")
        for tab in TABS[1:]:
            assert "Prometheus does not answer: not Prometheus&#39;s answer" in render(gateway, tab), (result, tab)


@pytest.mark.parametrize("metrics", [["ndcg@10"], None, {"ndcg@10": {"a": 1}, "recall@10": "0.1", "mrr": 10**400}])
def test_what_is_no_number_is_no_metric_of_a_version(
    gateway: SteppedGateway, sources: OddSources, metrics: Any
) -> None:
    sources.manifest = {"metrics": metrics, "data_checks": None}
    sources.deployments = [deployment("1", "primary"), deployment("2", "canary")]
    page = render(gateway, "models")
    assert "canary v2</th></tr></thead><tbody></tbody>" in page
    assert "The model registry does not answer" not in page


def test_a_number_is_a_metric_beside_others_that_are_none(gateway: SteppedGateway, sources: OddSources) -> None:
    sources.manifest = {"metrics": {"recall@10": "?", "ndcg@10": 0.125}}
    sources.deployments = [deployment("1", "primary"), deployment("2", "canary")]
    assert '<code>ndcg@10</code></td><td class="num">0.1250</td>' in render(gateway, "models")


def test_the_age_of_a_run_has_a_bound(gateway: SteppedGateway) -> None:
    for days, shown in ((1e10, "36500 d"), (1e300, "36500 d"), (0.00001, "0 s"), (1.5, "1 d")):
        store_freshness(gateway, days)
        assert ages(gateway)[0] == shown


@pytest.mark.parametrize("is_earlier_release", [True, False])
def test_an_empty_business_database_is_not_fresh(gateway: SteppedGateway, is_earlier_release: bool) -> None:
    """Not by the run before either: the row says that it is about the last one."""
    if is_earlier_release:
        store_freshness(gateway, 0.0)
    else:
        store_freshness(gateway, 1.5)
        gateway.watch.forward(seconds=60)
        store_check(gateway, "the-next", "interactions.empty", 0.0)
    page = render(gateway, "data")
    assert "Snapshot of the user features" in page
    assert "Interactions of the business database" not in page


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_a_moment_at_the_edge_of_the_calendar_breaks_no_tab(
    gateway: SteppedGateway, sources: OddSources, at: str
) -> None:
    sources.deployments = [deployment("12", "primary") | {"created_at": at}]
    assert at[5:10] in render(gateway, "models")
