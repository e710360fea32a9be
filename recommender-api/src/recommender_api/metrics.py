"""What `GET /metrics` shows."""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from monitoring.prometheus import MonitoringCollector

# From a cached answer on a quiet machine to the time budget of a request.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 1.0)

Stage = Literal["read", "recall", "rank"]


class Metrics:
    """Counters of one application; children are bound once, because looking them up costs more than counting."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "recommender_requests_total",
            "Answers by endpoint, model variant, fallback level and degrade reason",
            ("endpoint", "variant", "level", "reason"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "recommender_request_seconds",
            "Time from question to answer",
            ("endpoint",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "recommender_stage_seconds",
            "Time of one stage of the main path",
            ("stage",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._cached = Counter(
            "recommender_cached_answers_total", "Answers from the result cache", registry=self._registry
        )
        self._events = Counter(
            "recommender_events_total", "Behaviour events taken, by outcome", ("outcome",), registry=self._registry
        )
        self._dropped = Counter(
            "recommender_writes_dropped_total",
            "Cache entries and exposures that were not written, because Redis was away or behind",
            ("kind",),
            registry=self._registry,
        )
        self._shed = Counter(
            "recommender_shed_total", "Requests refused because of overload", ("endpoint",), registry=self._registry
        )
        self._registry.register(MonitoringCollector())
        self._request = lru_cache(maxsize=4096)(self._requests.labels)
        self._duration = lru_cache(maxsize=16)(self._seconds.labels)
        self._stage = lru_cache(maxsize=16)(self._stages.labels)

    def answered(self, endpoint: str, variant: str, level: int, reason: str | None, seconds: float) -> None:
        """Count an answer."""
        self._request(endpoint, variant, str(level), reason or "").inc()
        self._duration(endpoint).observe(seconds)

    def stage(self, stage: Stage, seconds: float) -> None:
        """Measure a stage of the main path."""
        self._stage(stage).observe(seconds)

    def cached(self) -> None:
        """Count an answer from the result cache."""
        self._cached.inc()

    def events(self, outcome: Literal["accepted", "duplicate", "journaled", "replayed", "refused"], count: int) -> None:
        """Count behaviour events."""
        self._events.labels(outcome).inc(count)

    def dropped(self, kind: Literal["cache", "exposure"], count: int) -> None:
        """Count what was not written to Redis."""
        self._dropped.labels(kind).inc(count)

    def shed(self, endpoint: str) -> None:
        """Count a request that was refused because of overload."""
        self._shed.labels(endpoint).inc()

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a value that is read when the metrics are."""
        Gauge(f"recommender_{name}", text, registry=self._registry).set_function(value)

    def render(self) -> bytes:
        """Return the Prometheus text format."""
        return generate_latest(self._registry)
