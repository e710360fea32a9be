"""Compares the shadow's answers with the primary's, by the metrics of all replicas of recommender-api."""

from dataclasses import dataclass
from datetime import datetime

from notification_gateway.dashboard.sources import Prometheus

WINDOW = "1h"
_MIRRORED = f"sum by (version, outcome) (increase(recommender_shadow_questions_total[{WINDOW}]))"
_MEAN = (
    "sum by (version) (increase(recommender_shadow_{name}_sum[{window}]))"
    " / (sum by (version) (increase(recommender_shadow_{name}_count[{window}])) > 0)"
)
# A replica without comparisons reports NaN, and NaN >= 0 is false.
_PSI = "max by (version) (recommender_shadow_score_psi >= 0)"
_P99 = (
    f"1000 * histogram_quantile(0.99, sum by (le, version, model) (rate(recommender_shadow_seconds_bucket[{WINDOW}])))"
)


@dataclass(frozen=True)
class Comparison:
    """A shadow version compared with the primary; None without data."""

    version: str
    compared: int
    dropped: int
    failed: int
    overlap: float | None
    difference: float | None
    psi: float | None
    primary_ms: float | None
    shadow_ms: float | None


def compare(prometheus: Prometheus, now: datetime) -> list[Comparison]:
    """Return the comparison of every shadow version of the window; raises `SourceError`."""

    def by(query: str, *labels: str) -> dict[tuple[str, ...], float]:
        found = prometheus.query(query, now)
        return {tuple(each.labels.get(label, "") for label in labels): each.points[-1][1] for each in found}

    mirrored = by(_MIRRORED, "version", "outcome")
    versions = sorted({version for version, _ in mirrored}, key=version_order, reverse=True)
    if not versions:
        return []
    overlaps = by(_MEAN.format(name="overlap_at_10", window=WINDOW), "version")
    differences = by(_MEAN.format(name="score_difference", window=WINDOW), "version")
    psi = by(_PSI, "version")
    p99 = by(_P99, "version", "model")
    return [
        Comparison(
            version,
            compared=round(mirrored.get((version, "compared"), 0.0)),
            dropped=round(mirrored.get((version, "dropped"), 0.0)),
            failed=round(mirrored.get((version, "failed"), 0.0)),
            overlap=overlaps.get((version,)),
            difference=differences.get((version,)),
            psi=psi.get((version,)),
            primary_ms=p99.get((version, "primary")),
            shadow_ms=p99.get((version, "shadow")),
        )
        for version in versions
    ]


def version_order(version: str) -> tuple[int, str]:
    """Return the sort key of a version: numbers sort as numbers."""
    return (int(version), version) if version.isdecimal() else (0, version)
