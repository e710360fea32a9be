"""The alert rules detect short outages and ignore a single bad answer; all metrics in rules and dashboard exist."""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
import yaml
from pydantic import SecretStr

import feature_sync.metrics
import model_registry.metrics
import monitoring
import notification_gateway.metrics
from localservers.executables import promtool
from monitoring import MonitoringSettings
from notification_gateway.dashboard import databases, live, shadow
from notification_gateway.dashboard.panels import Panels
from notification_gateway.dashboard.sources import Prometheus, Registry, Source
from notification_gateway.gateway import Gateway
from notification_gateway.own_signals import OwnSignals
from notification_gateway.settings import Settings
from recommender_api.metrics import Metrics
from recommender_api.shadow import ShadowMetrics
from recommender_api.shadow.comparison import Comparison
from servicekit.database import open_database

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
GRAFANA = DEPLOY / "grafana" / "recommendations.json"
# Prometheus adds it to every series, by its targets.
TARGET_LABEL = "service"
STEP_SECONDS = 5
# Longer than the windows of the rules.
QUIET_STEPS = 120

Labels = tuple[str, str, str]
OK: Labels = ("/similar", "200", "")
DEGRADED: Labels = ("/similar", "200", "redis_unavailable")
FAILED: Labels = ("/similar", "500", "unhandled")
NO_MODEL: Labels = ("/similar", "503", "no_model")
REFUSED: Labels = ("/similar", "503", "overloaded")
NOT_FOUND: Labels = ("/similar", "404", "not_found")


def firing(tmp_path: Path, asked: Mapping[Labels, int], *, seconds_after: int = 30) -> set[str]:
    """Return the alerts that fire this long after a burst of answers that followed ten quiet minutes."""
    series = [
        {
            "series": f'recommender_responses_total{{service="recommender-api",instance="a",endpoint="{endpoint}",'
            f'status="{status}",reason="{reason}"}}',
            # Every counter exists from the start; the burst is between two scrapes.
            "values": f"0x{QUIET_STEPS} {asked.get((endpoint, status, reason), 0)}x{QUIET_STEPS}",
        }
        for endpoint, status, reason in dict.fromkeys((OK, DEGRADED, FAILED, NO_MODEL, REFUSED, NOT_FOUND, *asked))
    ]
    at = QUIET_STEPS * STEP_SECONDS + seconds_after
    names = [rule["alert"] for group in rules() for rule in group["rules"] if "alert" in rule]
    expectations = [{"eval_time": f"{at}s", "alertname": name, "exp_alerts": []} for name in names]
    tests = [{"interval": f"{STEP_SECONDS}s", "input_series": series, "alert_rule_test": expectations}]
    return unexpected({"rule_files": [str(RULES)], "evaluation_interval": "5s", "tests": tests}, tmp_path)


def unexpected(document: Mapping[str, Any], folder: Path) -> set[str]:
    """Run a rule test that expects no alert, and return those that fire."""
    program = promtool()
    if program is None:
        pytest.skip("promtool is not installed: `python -m native prerequisites`")
    path = folder / "rules-test.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    done = subprocess.run([program, "test", "rules", path], capture_output=True, text=True, timeout=60, check=False)
    output = done.stdout + done.stderr
    found = set(re.findall(r"alertname: ?(\w+)", output))
    assert (done.returncode == 0) is (not found), output
    return found


def rules() -> list[dict[str, Any]]:
    """Return the groups of deploy/prometheus/rules.yml."""
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return groups


@pytest.mark.parametrize(
    ("asked", "alerts"),
    [
        ({OK: 10_000}, set()),
        ({DEGRADED: 100}, {"AnswersDegraded"}),
        ({OK: 900, DEGRADED: 100}, {"AnswersDegraded"}),
        ({OK: 10_000, DEGRADED: 100}, set()),
        ({NO_MODEL: 100}, {"NothingAnswered", "AnswersFailing"}),
        ({FAILED: 20}, {"NothingAnswered", "AnswersFailing"}),
        ({OK: 900, FAILED: 20}, {"AnswersFailing"}),
        ({OK: 900, REFUSED: 50}, {"RequestsShed"}),
        ({REFUSED: 100}, {"NothingAnswered", "RequestsShed"}),
        ({OK: 10_000, REFUSED: 10}, set()),
        # A quiet night.
        ({OK: 3, DEGRADED: 1}, set()),
        ({OK: 3, FAILED: 1}, set()),
        ({FAILED: 1}, set()),
        ({DEGRADED: 2}, set()),
        ({OK: 30, FAILED: 1, DEGRADED: 1, REFUSED: 1}, set()),
        # Mistakes of the callers.
        ({NOT_FOUND: 1_000}, set()),
        ({OK: 100, ("/events", "422", "invalid"): 1_000}, set()),
        ({OK: 100, ("/events", "503", "journal_full"): 100}, {"AnswersFailing"}),
    ],
)
def test_an_outage_of_less_than_a_second_is_an_alert_and_one_bad_answer_is_not(
    tmp_path: Path, asked: dict[Labels, int], alerts: set[str]
) -> None:
    assert firing(tmp_path, asked) == alerts


def test_an_alert_ends_when_its_outage_has_left_the_window(tmp_path: Path) -> None:
    assert firing(tmp_path, {OK: 300, FAILED: 100}, seconds_after=290) == {"AnswersFailing"}
    assert firing(tmp_path, {OK: 300, FAILED: 100}, seconds_after=310) == set()


def test_every_alert_has_a_severity_and_a_summary() -> None:
    alerts = [rule for group in rules() for rule in group["rules"] if "alert" in rule]
    assert {rule["labels"]["severity"] for rule in alerts} <= {"critical", "error", "warning"}
    assert all(rule["annotations"]["summary"] for rule in alerts)


class Asked(Source):
    """A source that answers nothing, and records its queries."""

    def __init__(self) -> None:
        super().__init__("http://prometheus.test", lambda: datetime.now(UTC))
        self.queries: list[str] = []

    def get_json(self, path: str, **parameters: Any) -> Any:  # noqa: ARG002 - as `Source` has it
        """See `Source`."""
        if "query" in parameters:
            self.queries.append(parameters["query"])
        # One shadow, so that the queries for its figures are sent too.
        return {
            "data": {"result": [{"metric": {"version": "2", "outcome": "compared"}, "value": [0, "1"], "values": []}]}
        }


class InService(NamedTuple):
    """The attributes of an arm that metrics use."""

    variant: str = "primary"
    experiment: str | None = None
    version: str = "1"


def dashboard_queries() -> list[str]:
    """Return all Prometheus queries of the dashboard."""
    asked = Asked()
    now = datetime(2026, 1, 5, tzinfo=UTC)
    gateway = Gateway(Settings(database_url=SecretStr("sqlite://")), OwnSignals())
    panels = Panels(Prometheus(asked), Registry(Source("", lambda: now), "ranker"), gateway.alerts.summaries)
    panels._fallback_now(now)  # noqa: SLF001 - each panel's own query; the tabs need a database besides
    panels._syncs(now)  # noqa: SLF001
    panels._rates(now)  # noqa: SLF001
    panels._rates_over_time(now)  # noqa: SLF001
    charts = (
        *(live.degraded_by_level, live.failures_by_reason, live.latency, live.latency_by_stage, shadow.compare),
        *(databases.connections, databases.waits_over_time),
    )
    for chart in charts:
        chart(Prometheus(asked), now)
    return asked.queries


def grafana_panels() -> list[dict[str, Any]]:
    """Return the panels of the Grafana dashboard that show something."""
    document = json.loads(GRAFANA.read_text(encoding="utf-8"))
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def grafana_queries() -> list[str]:
    """Return the queries of the Grafana dashboard, with values for its variables."""
    queries = [target["expr"] for panel in grafana_panels() for target in panel["targets"]]
    return [each.replace("$stage", "rank").replace("$__rate_interval", "1m") for each in queries]


def expositions() -> list[str]:
    """Return the lines of `/metrics` of all services right after their start."""
    metrics = Metrics()
    metrics.follow_arms([InService()])  # type: ignore[list-item]  # see there
    ShadowMetrics(metrics.registry).begin(Comparison("1", "2"))
    with TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{folder}/any.db", "any")
        database.connect().close()
        texts = _expositions(metrics)
        database.dispose()
    return b"\n".join(texts).decode().splitlines()


def _expositions(metrics: Metrics) -> Iterable[bytes]:
    return (
        metrics.exposition(),
        model_registry.metrics.Metrics().exposition(),
        feature_sync.metrics.Metrics().exposition(),
        notification_gateway.metrics.Metrics().exposition(),
    )


def declared() -> set[str]:
    """Return the names of all metrics, also of those that have no series yet."""
    return {line.split()[2] for line in expositions() if line.startswith("# TYPE ")}


def exported() -> dict[str, set[str]]:
    """Return the series of all services by name, as exported right after their start."""
    found: dict[str, set[str]] = {}
    for line in expositions():
        if line and not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.setdefault(name, set()).add(labels.rstrip("}"))
    return found


def names_in(queries: Iterable[str]) -> set[str]:
    """Return the metrics in queries, without those that recording rules define."""
    return set(
        re.findall(r"(?<![:\w])(?:recommender|sync|monitoring|gateway|registry|database)_\w+", " ".join(queries))
    )


def test_every_metric_in_rules_and_dashboard_is_exported_from_the_start() -> None:
    expressions = [rule["expr"] for group in rules() for rule in group["rules"]]
    used = names_in([*expressions, *dashboard_queries()])
    assert used >= {"recommender_responses_total", "recommender_requests_total", "sync_snapshots_total", "database_up"}
    assert used - exported().keys() == set()


def test_the_grafana_dashboard_asks_for_rules_and_labels_that_exist_in_queries_that_prometheus_reads(
    tmp_path: Path,
) -> None:
    recorded = {rule["record"] for group in rules() for rule in group["rules"] if "record" in rule}
    queries = grafana_queries()
    assert {name for each in queries for name in re.findall(r"recommender:[\w:]+", each)} <= recorded
    monitoring.init("tested", MonitoringSettings(), signal_sink=lambda _: None)
    try:
        found, families = exported(), declared()
    finally:
        monitoring.shutdown()
    assert {re.sub("_bucket$", "", name) for name in names_in(queries)} - families == set()
    grouped = re.findall(r"sum by \(([^)]*)\) \((?:rate\(|increase\()?([a-z_]+)", " ".join(queries))
    assert len(grouped) > 10
    for labels, metric in grouped:
        for label in set(labels.split(", ")) - {TARGET_LABEL}:
            assert all(f'{label}="' in each for each in found.get(metric, ())), (metric, label)
    numbered = [{"record": f"grafana:query{number}", "expr": each} for number, each in enumerate(queries)]
    path = tmp_path / "grafana.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "grafana", "rules": numbered}]}), encoding="utf-8")
    program = promtool()
    assert program is not None, "promtool is not installed: `python -m native prerequisites`"
    done = subprocess.run([program, "check", "rules", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_grafana_dashboard_is_laid_out_without_gaps_and_names_its_source_by_a_variable() -> None:
    document = json.loads(GRAFANA.read_text(encoding="utf-8"))
    assert {each["name"] for each in document["templating"]["list"]} == {"datasource", "stage"}
    panels = document["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken)) == 24 * (max(y for _, y in taken) + 1)
    for panel in grafana_panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0


def test_every_label_of_the_dashboard_is_exported_from_the_start_with_0() -> None:
    found = exported()
    levels = {
        level for level in "0123" if any(f'level="{level}"' in each for each in found["recommender_requests_total"])
    }
    assert levels == set("0123")
    assert {'outcome="done"', 'outcome="failed"'} == found["sync_snapshots_total"]
    outcomes = {f'outcome="{name}",version="2"' for name in ("compared", "dropped", "failed")}
    assert outcomes == found["recommender_shadow_questions_total"]
    assert {'outcome="accepted"', 'outcome="duplicate"', 'outcome="rejected"'} == found["gateway_signals_total"]
