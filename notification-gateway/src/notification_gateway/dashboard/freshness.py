"""How old the newest data of each source is, by the metrics of feature-sync and the check of the last run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.run_reports import RunChecks
from notification_gateway.dashboard.sources import Prometheus
from notification_gateway.language import Phrase

# A larger figure is not an age.
_MAX_AGE_DAYS = 36_500.0
_DAY = timedelta(days=1)
_CHECK = "interactions.freshness_days"
_INTERACTIONS = Phrase("业务数据库的交互（最近一次运行时）", "Interactions of the business database (at the last run)")
# A comparison leaves out NaN and 0, which stand for what has not been read yet, and infinity.
_SOURCES = (
    (Phrase("用户特征快照", "Snapshot of the user features"), "min(sync_snapshot_age_seconds) >= 0 < Inf"),
    (
        Phrase("行为事件 → 实时特征", "Behaviour events → live features"),
        'max(sync_stream_lag_seconds{group="live"}) >= 0 < Inf',
    ),
    (
        Phrase("行为事件 → 事件日志", "Behaviour events → event log"),
        'max(sync_stream_lag_seconds{group="log"}) >= 0 < Inf',
    ),
    (Phrase("已删除的数据集", "Deleted datasets"), "time() - (max(sync_deleted_read_timestamp_seconds) > 0)"),
)


@dataclass(frozen=True)
class SourceAge:
    """A source, and the age of the newest data that has arrived from it."""

    source: Phrase
    age: timedelta


def read_ages(prometheus: Prometheus, now: datetime) -> list[SourceAge]:
    """Return the ages; a source that was never read is left out. Raises `SourceError`."""
    return [
        SourceAge(source, _age(each.points[-1][1] / _DAY.total_seconds()))
        for source, query in _SOURCES
        for each in prometheus.query(query, now)[:1]
    ]


def age_of_interactions(runs: Sequence[tuple[str, RunChecks]]) -> list[SourceAge]:
    """Return what the newest checked one of the runs, given oldest first, has measured.

    Nothing without interactions: such a run has no result, or 0 if its pipeline is of an earlier release.
    """
    checked = [results.checks for _, results in runs if results.checks]
    return [
        SourceAge(_INTERACTIONS, _age(each.value))
        for checks in checked[-1:]
        for each in checks
        if each.check == _CHECK and each.value > 0
    ]


def _age(days: float) -> timedelta:
    return min(max(days, 0.0), _MAX_AGE_DAYS) * _DAY
