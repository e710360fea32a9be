"""What a weekly report shows, from the gateway, the registry and the folders of the runs, each of which may be away."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from contracts.data_checks import DataCheckSeverity
from contracts.run_reports import RunOutcome, is_about_training
from pipeline.artifacts import folders_below, join
from pipeline.errors import PipelineError
from pipeline.publish import list_reports, version_history
from pipeline.run_report.content import CHECKS, METRICS, CheckRow
from pipeline.run_report.files import UnreadableResultError, read_json
from pipeline.settings import Settings
from pipeline.steps import RunInfo, RunKind
from pipeline.steps.run_info import find_run_info
from pipeline.weekly_report.week import Week

_T = TypeVar("_T")
_FINDINGS = ("critical", "warning")
_METRIC = "ndcg@10"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRow:
    """A training whose report was posted in the week."""

    run: str
    outcome: RunOutcome
    posted_at: datetime


@dataclass(frozen=True)
class StoredRun:
    """A run of the week that is still stored. `ndcg` is None without an evaluation."""

    info: RunInfo
    ndcg: float | None
    checks: Sequence[CheckRow]


@dataclass(frozen=True)
class FindingRow:
    """A data check that found something: its worst severity, in how many stored runs, and the last details."""

    check: str
    severity: DataCheckSeverity
    trainings: int
    refreshes: int
    details: str


@dataclass(frozen=True)
class DeploymentRow:
    """A deployment of the week, newest first; `refreshes` is the trained version of a refresh."""

    version: str
    refreshes: str | None
    mode: str
    state: str
    at: datetime
    detail: str


@dataclass
class WeekContent:
    """The content of a weekly report. `missing` says which sources could not be read, and why."""

    week: Week
    trainings: Sequence[TrainingRow] | None = None
    deployments: Sequence[DeploymentRow] | None = None
    stored: Sequence[StoredRun] = ()
    missing: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> int:
        """The number of trainings that succeeded."""
        return sum(each.outcome == "succeeded" for each in self.trainings or ())

    @property
    def success_rate(self) -> float | None:
        """Share of the trainings that succeeded, in percent; None without one."""
        return self.succeeded / len(self.trainings) * 100 if self.trainings else None

    @property
    def trained_deployments(self) -> list[DeploymentRow]:
        """The deployments that were not refreshes, and refreshes that failed."""
        return [each for each in self.deployments or () if each.refreshes is None or each.state == "failed"]

    @property
    def refreshes_deployed(self) -> int:
        """The number of refreshes that were deployed."""
        return sum(each.refreshes is not None and each.state != "failed" for each in self.deployments or ())

    @property
    def findings(self) -> list[FindingRow]:
        """What the data checks found in the stored runs, the worst first."""
        by_check: dict[str, list[tuple[RunKind, CheckRow]]] = {}
        for run in self.stored:
            for row in run.checks:
                if row.severity in _FINDINGS:
                    by_check.setdefault(row.check, []).append((run.info.kind, row))
        found = [_finding(name, rows) for name, rows in by_check.items()]
        return sorted(found, key=lambda row: (_FINDINGS.index(row.severity), -row.trainings - row.refreshes, row.check))


def gather(settings: Settings, week: Week) -> WeekContent:
    """Return what is known about a week; what cannot be read is named."""
    content = WeekContent(week)
    content.trainings = _read(content, "notification-gateway", lambda: _trainings(settings, week))
    content.deployments = _read(content, "model-registry", lambda: _deployments(settings, week))
    content.stored = _read(content, "ARTIFACT_URL", lambda: _stored(settings, content)) or ()
    return content


def _read(content: WeekContent, source: str, read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except (PipelineError, UnreadableResultError, ValidationError, OSError) as error:
        _log.warning("the weekly report leaves out %s: %s", source, error)
        content.missing.append(f"{source}: {error}")
        return None


def _trainings(settings: Settings, week: Week) -> list[TrainingRow]:
    if not settings.gateway_url:
        raise PipelineError("GATEWAY_URL is not set, and only the gateway keeps the outcome of each run")
    reports = list_reports(settings.gateway_url, settings.gateway_token)
    return [
        TrainingRow(each.run, each.outcome, each.posted_at)
        for each in reports
        if week.contains(each.posted_at) and is_about_training(each.run)
    ]


def _deployments(settings: Settings, week: Week) -> list[DeploymentRow]:
    history, refreshed = version_history(settings.registry_url, settings.registry_ci_token, settings.model_name)
    return [
        DeploymentRow(
            each.version, refreshed.get(each.version), each.mode, each.state, each.created_at, each.detail or ""
        )
        for each in history
        if week.contains(each.created_at)
    ]


def _stored(settings: Settings, content: WeekContent) -> list[StoredRun]:
    root = join(settings.artifact_url, "runs")
    names = folders_below(root)
    # One broken run costs only its own row.
    read = [_read(content, f"runs/{name}", partial(_stored_run, join(root, name), content.week)) for name in names]
    return sorted((run for run in read if run is not None), key=lambda each: each.info.started_at)


def _stored_run(run: str, week: Week) -> StoredRun | None:
    info = find_run_info(run)
    if info is None or not week.contains(info.started_at):
        return None
    checks = TypeAdapter(list[CheckRow]).validate_python(read_json(join(run, *CHECKS)) or [])
    metrics = TypeAdapter(dict[str, float]).validate_python(read_json(join(run, *METRICS)) or {})
    return StoredRun(info, metrics.get(_METRIC), checks)


def _finding(name: str, rows: Sequence[tuple[RunKind, CheckRow]]) -> FindingRow:
    worst = min((row.severity for _, row in rows), key=_FINDINGS.index)
    refreshes = sum(kind == "refresh" for kind, _ in rows)
    return FindingRow(name, worst, len(rows) - refreshes, refreshes, rows[-1][1].details)
