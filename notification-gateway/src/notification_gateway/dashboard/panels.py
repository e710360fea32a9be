"""The content of each tab, from the gateway's database, Prometheus and the registry."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from contracts.deployments import DeploymentRecord
from contracts.run_reports import RunChecks
from notification_gateway.dashboard import databases, freshness, live, queries, shadow
from notification_gateway.dashboard.charts import LINE_COLOURS, Chart, Series, aligned
from notification_gateway.dashboard.check_history import RUNS_SHOWN, check_histories
from notification_gateway.dashboard.offline_metrics import chart_metrics
from notification_gateway.dashboard.outcomes import read_outcomes
from notification_gateway.dashboard.run_counts import count_runs
from notification_gateway.dashboard.sources import Prometheus, Registry, SourceError, Version
from notification_gateway.dashboard.step_durations import step_trends
from notification_gateway.incidents.false_alarms import count_false_alarms
from notification_gateway.incidents.queries import by_id
from notification_gateway.reports.queries import last_checks, list_reports
from notification_gateway.silences import queries as silences
from notification_gateway.summaries import queries as summary_queries
from notification_gateway.summaries.closing import Summaries
from notification_gateway.summaries.content import RunningSummary

HOUR, DAY, WEEK, MONTH = timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30)
STEP = timedelta(minutes=1)
VERSION_STEP = timedelta(hours=3)
RATE_STEP = timedelta(hours=6)
_REQUESTS = "recommender_requests_total"
_MODEL_CATEGORIES = ("model_training", "model")
_VERSIONS_RATED = 8
# The offline metric beside the outcomes of a version.
_NDCG = "ndcg@10"
# Parts of the names of checks that are shown over time on the tab of data quality.
_MEASURED = (".null_", "outlier", "freshness")
DIGESTS_SHOWN = 30


@dataclass(frozen=True)
class ExternalPanel:
    """A panel with data of another service: its content, or why it is missing."""

    content: Any = None
    missing: str = ""
    configured: bool = True


class Panels:
    """Collects the content of a tab."""

    def __init__(self, prometheus: Prometheus, registry: Registry, summaries: Summaries) -> None:
        self._prometheus = prometheus
        self._registry = registry
        self._summaries = summaries

    def gather(self, tab: str, connection: Connection, now: datetime, incident_id: int | None = None) -> dict[str, Any]:
        """Return the variables of the tab's template; the tab `incidents` shows `incident_id` first."""
        gatherers: dict[str, Callable[[Connection, datetime], dict[str, Any]]] = {
            "overview": self._overview,
            "live": self._live,
            "data": self._data,
            "models": self._models,
            "runs": _runs,
            "incidents": lambda connection, _now: _incidents(connection, incident_id),
            "silences": lambda connection, now: {"silences": silences.list_unexpired(connection, now)},
            "digests": self._digests,
        }
        return gatherers[tab](connection, now)

    def _overview(self, connection: Connection, now: datetime) -> dict[str, Any]:
        deliveries = queries.deliveries(connection)
        return {
            "open": queries.incidents_of(connection, "open"),
            "open_counts": queries.count_open(connection),
            "resolved": queries.incidents_of(connection, "resolved", 5),
            "errors": _errors(connection, now),
            "failed": sum(row["state"] == "failed" for row in deliveries),
            "false_alarms": count_false_alarms(connection, now),
            "active": self._load(self._registry, self._serving),
            "shares": self._load(self._prometheus, lambda: self._fallback_now(now)),
        }

    def _live(self, connection: Connection, now: datetime) -> dict[str, Any]:
        top = queries.most_frequent(connection, now)
        return {
            "errors": _errors(connection, now),
            "top": top,
            "most": max((each.occurrences for each in top), default=1),
            "fallback": self._load(self._prometheus, lambda: live.degraded_by_level(self._prometheus, now)),
            "failures": self._load(self._prometheus, lambda: live.failures_by_reason(self._prometheus, now)),
            "responses": self._load(self._prometheus, lambda: live.count_responses(self._prometheus, now)),
            "latency": self._load(self._prometheus, lambda: live.latency(self._prometheus, now)),
            "stages": self._load(self._prometheus, lambda: live.latency_by_stage(self._prometheus, now)),
        }

    def _data(self, connection: Connection, now: datetime) -> dict[str, Any]:
        x, counts = queries.occurrences_over_time(connection, now, RATE_STEP, int(WEEK / RATE_STEP), "data_quality")
        return {
            "checks": _by_level(x, counts),
            "run": self._load(self._registry, self._last_run),
            "findings": queries.last_findings(connection, now - WEEK),
            **_measured_over_time(connection),
            "databases": queries.incidents_in(connection, ["database"], now - WEEK),
            "database_count": queries.count_in(connection, ["database"], now - WEEK),
            "freshness": self._load(self._prometheus, lambda: freshness.read_ages(self._prometheus, now)),
            "connections": self._load(self._prometheus, lambda: databases.connections(self._prometheus, now)),
            "waits": self._load(self._prometheus, lambda: databases.waits_over_time(self._prometheus, now)),
            "sync_failures": queries.incidents_in(connection, ["feature_store"], now - WEEK),
            "sync_failure_count": queries.count_in(connection, ["feature_store"], now - WEEK),
            "syncs": self._load(self._prometheus, lambda: self._syncs(now)),
        }

    def _models(self, connection: Connection, now: datetime) -> dict[str, Any]:
        trained = self._load(self._registry, self._registry.versions)
        deployments = self._load(self._registry, self._registry.deployments)
        versions: list[Version] = trained.content or []
        return {
            "trained": trained,
            "recent": sum(each.created_at > now - MONTH for each in versions),
            "runs": count_runs(connection, now - MONTH),
            **_steps(last_checks(connection, RUNS_SHOWN)),
            "failures": queries.incidents_in(connection, _MODEL_CATEGORIES, now - MONTH),
            "failure_count": queries.count_in(connection, _MODEL_CATEGORIES, now - MONTH),
            "metrics": chart_metrics(versions),
            "deployments": deployments,
            "rollouts": self._load(self._registry, self._registry.rollouts),
            "rates": self._load(self._prometheus, lambda: self._rates(now)),
            "rates_over_time": self._load(self._prometheus, lambda: self._rates_over_time(now)),
            "mirrored": self._load(self._prometheus, lambda: shadow.compare(self._prometheus, now)),
            "outcomes": self._load(self._prometheus, lambda: read_outcomes(self._prometheus, now)),
            "ndcg": {each.version: each.metrics[_NDCG] for each in versions if _NDCG in each.metrics},
            "comparison": _comparison(versions, deployments.content or []),
        }

    def _digests(self, connection: Connection, _now: datetime) -> dict[str, Any]:
        digests, _ = summary_queries.list_summaries(connection, limit=DIGESTS_SHOWN)
        running = self._summaries.preview_running(connection)
        return {"digests": digests, "running": [(each, _by_time(each)) for each in running]}

    def _load(self, source: Prometheus | Registry, query: Callable[[], Any]) -> ExternalPanel:
        if not source.configured:
            return ExternalPanel(configured=False)
        try:
            return ExternalPanel(query())
        except (SourceError, KeyError, TypeError, ValueError) as error:
            return ExternalPanel(missing=str(error))

    def _last_run(self) -> dict[str, Any] | None:
        """Return the data checks of the newest version: those of nulls, and the others."""
        newest = self._registry.versions(1)
        if not newest or not newest[0].checks:
            return None
        checks = newest[0].checks
        return {
            "version": newest[0],
            "nulls": [each for each in checks if ".null_" in each.check],
            "others": [each for each in checks if ".null_" not in each.check],
        }

    def _serving(self) -> DeploymentRecord | None:
        return next(
            (each for each in self._registry.deployments() if each.mode == "primary" and each.state == "active"),
            None,
        )

    def _fallback_now(self, now: datetime) -> dict[str, float]:
        found = self._prometheus.query(f"sum by (level) (increase({_REQUESTS}[1h]))", now)
        answers = {each.labels.get("level", ""): each.points[-1][1] for each in found}
        total = sum(answers.values())
        return {"total": total, "degraded": (total - answers.get("0", 0.0)) / total * 100 if total else 0.0}

    def _syncs(self, now: datetime) -> dict[str, float]:
        found = self._prometheus.query("sum by (outcome) (increase(sync_snapshots_total[7d]))", now)
        return {each.labels.get("outcome", "?"): round(each.points[-1][1]) for each in found}

    def _rates(self, now: datetime) -> list[tuple[str, float, float]]:
        """Return version, answers and fallback rate (%) of the versions with most answers in 7 days, newest first."""
        found = self._prometheus.query(f"sum by (version, level) (increase({_REQUESTS}[7d]))", now)
        answers: dict[str, dict[str, float]] = {}
        for each in found:
            levels = answers.setdefault(each.labels.get("version", "?"), {})
            levels[each.labels.get("level", "")] = each.points[-1][1]
        totals = {version: sum(levels.values()) for version, levels in answers.items()}
        busiest = sorted((version for version in totals if totals[version] > 0), key=totals.__getitem__)[
            -_VERSIONS_RATED:
        ]
        return [
            (version, totals[version], (totals[version] - answers[version].get("0", 0.0)) / totals[version] * 100)
            for version in sorted(busiest, key=shadow.version_order, reverse=True)
        ]

    def _rates_over_time(self, now: datetime) -> Chart:
        """Return the fallback rate (%) of the newest versions over 7 days."""
        query = (
            f'sum by (version) (rate({_REQUESTS}{{level!="0"}}[3h])) / (sum by (version) (rate({_REQUESTS}[3h])) > 0)'
        )
        x, columns = aligned(self._prometheus.query_range(query, now - WEEK, now, VERSION_STEP), "version")
        newest = sorted(columns, key=shadow.version_order)[-len(LINE_COLOURS) :]
        series = [
            Series(f"v{version}", [None if value is None else value * 100 for value in columns[version]], colour)
            for version, colour in zip(newest, LINE_COLOURS, strict=False)
        ]
        return Chart("lines", x, series, unit="%")


def _runs(connection: Connection, now: datetime) -> dict[str, Any]:
    checked = last_checks(connection, RUNS_SHOWN)
    return {
        "reports": list_reports(connection),
        "runs": count_runs(connection, now - MONTH),
        "checks": check_histories(checked),
        **_steps(checked),
    }


def _steps(checked: Sequence[tuple[str, RunChecks]]) -> dict[str, Any]:
    """Return the durations of the steps in the last runs, and the names of the runs."""
    return {"names": [run for run, _ in checked], "steps": step_trends(checked)}


def _measured_over_time(connection: Connection) -> dict[str, Any]:
    """Return the checks of missing values, outliers and freshness in the last runs."""
    checked = last_checks(connection, RUNS_SHOWN)
    histories = [each for each in check_histories(checked) if any(part in each.check for part in _MEASURED)]
    return {
        "names": [run for run, _ in checked],
        "measured": histories,
        "interactions_age": freshness.age_of_interactions(checked),
    }


def _incidents(connection: Connection, incident_id: int | None) -> dict[str, Any]:
    return {
        "wanted": incident_id,
        "named": None if incident_id is None else by_id(connection, incident_id),
        "open": queries.incidents_of(connection, "open"),
        "open_counts": queries.count_open(connection),
        "resolved": queries.incidents_of(connection, "resolved"),
        "deliveries": queries.deliveries(connection),
    }


def _by_time(running: RunningSummary) -> Chart:
    counts = running.content.by_time
    step = (running.until - running.since).total_seconds() / max(len(counts), 1)
    begin = running.since.timestamp()
    return Chart("bars", [begin + step * number for number in range(len(counts))], [Series("times", counts, "p1")])


def _errors(connection: Connection, now: datetime) -> Chart:
    return _by_level(*queries.occurrences_over_time(connection, now, STEP, 60))


def _by_level(x: Sequence[float], counts: Mapping[str, Sequence[int]]) -> Chart:
    return Chart("bars", x, [Series("error", counts["error"], "p0"), Series("warning", counts["warning"], "p1")])


def _comparison(versions: Sequence[Version], deployments: Sequence[DeploymentRecord]) -> dict[str, Version]:
    """Return what is in service by its mode, where more than the primary one is."""
    known = {version.version: version for version in versions}
    found: dict[str, Version] = {}
    for each in deployments:
        if each.state == "active" and each.mode not in found and each.version in known:
            found[each.mode] = known[each.version]
    return found if len(found) > 1 else {}
