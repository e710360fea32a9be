"""The comparison in `GET /metrics`; only the shadow version in service has series."""

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from recommender_api.metrics import SECONDS
from recommender_api.shadow.comparison import AT, Comparison, Pair

Outcome = Literal["compared", "dropped", "failed"]
_TENTHS = tuple(tenth / 10 for tenth in range(11))
_DIFFERENCES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)


class ShadowMetrics:
    """Metrics by the shadow's version."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._outcomes = Counter(
            "recommender_shadow_questions_total",
            "Mirrored queries: compared, dropped because the shadow was too slow or Redis unavailable, or failed",
            ("version", "outcome"),
            registry=registry,
        )
        self._overlap = Histogram(
            f"recommender_shadow_overlap_at_{AT}",
            f"Share of the first {AT} datasets that primary and shadow have in common",
            ("version",),
            buckets=_TENTHS,
            registry=registry,
        )
        self._difference = Histogram(
            "recommender_shadow_score_difference",
            "Absolute difference of the two scores of a dataset that is in both answers",
            ("version",),
            buckets=_DIFFERENCES,
            registry=registry,
        )
        self._psi = Gauge(
            "recommender_shadow_score_psi",
            "Population stability index of the shadow's scores against the primary's, over the latest comparisons",
            ("version",),
            registry=registry,
        )
        self._seconds = Histogram(
            "recommender_shadow_seconds",
            "Time of both models for the same queries",
            ("version", "model"),
            buckets=SECONDS,
            registry=registry,
        )

    def begin(self, comparison: Comparison) -> None:
        """Drop the previous shadow's series and export this one's."""
        self.clear()
        version = comparison.shadow
        for outcome in get_args(Outcome):
            self._outcomes.labels(version, outcome)
        self._overlap.labels(version)
        self._difference.labels(version)
        for model in ("primary", "shadow"):
            self._seconds.labels(version, model)
        self._psi.labels(version).set_function(lambda: _number(comparison.summary().score_psi))

    def clear(self) -> None:
        """Drop all series: no shadow is in service."""
        for metric in (self._outcomes, self._overlap, self._difference, self._psi, self._seconds):
            metric.clear()

    def count(self, version: str, outcome: Outcome) -> None:
        """Count the outcome of a mirrored query."""
        self._outcomes.labels(version, outcome).inc()

    def compared(self, version: str, pair: Pair) -> None:
        """Observe a pair of answers."""
        self._overlap.labels(version).observe(pair.overlap)
        for difference in pair.differences:
            self._difference.labels(version).observe(difference)
        self._seconds.labels(version, "primary").observe(pair.primary.seconds)
        self._seconds.labels(version, "shadow").observe(pair.shadow.seconds)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
