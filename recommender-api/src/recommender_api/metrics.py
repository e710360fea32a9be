"""What `GET /metrics` shows."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from itertools import accumulate
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from monitoring.prometheus import MonitoringCollector
from recommender_api.models import Arm

# From a cached answer on a quiet machine to the time budget of a request.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 1.0)

Stage = Literal["read", "recall", "rank"]
_LEVELS = ("0", "1", "2", "3")
_VERSION = 3  # where among the labels


class Times(Collector):
    """A histogram of seconds with one label, at a fifth of the client library's cost; for one thread."""

    def __init__(self, name: str, text: str, label: str) -> None:
        self._name = name
        self._text = text
        self._label = label
        # By value of the label: how many fell into each bucket, and past the last.
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0] * (len(SECONDS) + 1))
        self._sums: dict[str, float] = defaultdict(float)

    def observe(self, label: str, seconds: float) -> None:
        """Count a duration."""
        self._counts[label][bisect_left(SECONDS, seconds)] += 1
        self._sums[label] += seconds

    def collect(self) -> Iterator[Metric]:
        """Show what was counted."""
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        for label, counts in list(self._counts.items()):  # a request may add one meanwhile
            bounds = [*map(floatToGoString, SECONDS), "+Inf"]
            family.add_metric([label], list(zip(bounds, accumulate(counts), strict=True)), self._sums[label])
        yield family


class Metrics:
    """Counters of one application; children are bound once, because looking them up costs more than counting."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "recommender_requests_total",
            "Answers by endpoint, model variant, experiment, version in service, fallback level and degrade reason",
            ("endpoint", "variant", "experiment", "version", "level", "reason"),
            registry=self.registry,
        )
        self._seconds = Times("recommender_request_seconds", "Time from question to answer", "endpoint")
        self._stages = Times("recommender_stage_seconds", "Time of one stage of the main path", "stage")
        self.registry.register(self._seconds)
        self.registry.register(self._stages)
        self._cached = Counter(
            "recommender_cached_answers_total", "Answers from the result cache", registry=self.registry
        )
        self._events = Counter(
            "recommender_events_total", "Behaviour events taken, by outcome", ("outcome",), registry=self.registry
        )
        self._dropped = Counter(
            "recommender_writes_dropped_total",
            "Cache entries and exposures that were not written, because Redis was away or behind",
            ("kind",),
            registry=self.registry,
        )
        self._shed = Counter(
            "recommender_shed_total", "Requests refused because of overload", ("endpoint",), registry=self.registry
        )
        self.registry.register(MonitoringCollector())
        self._answers: dict[tuple[str, ...], Counter] = {}

    def answered(self, endpoint: str, arm: Arm, level: int, reason: str | None, seconds: float) -> None:
        """Count an answer by the arm that was asked."""
        labels = (endpoint, arm.variant, arm.experiment or "", arm.version, _LEVELS[level], reason or "")
        counter = self._answers.get(labels)
        if counter is None:
            counter = self._answers[labels] = self._requests.labels(*labels)
        counter.inc()
        self._seconds.observe(endpoint, seconds)

    def keep_versions(self, versions: Collection[str]) -> None:
        """Forget the counts of the versions that are not in service any more, so that labels don't pile up."""
        for labels in [labels for labels in self._answers if labels[_VERSION] not in versions]:
            del self._answers[labels]
            self._requests.remove(*labels)

    def stage(self, stage: Stage, seconds: float) -> None:
        """Measure a stage of the main path."""
        self._stages.observe(stage, seconds)

    def cached(self) -> None:
        """Count an answer from the result cache."""
        self._cached.inc()

    def events(self, outcome: Literal["accepted", "duplicate", "journaled", "replayed", "refused"], count: int) -> None:
        """Count behaviour events."""
        self._events.labels(outcome).inc(count)

    def dropped(self, kind: Literal["cache", "exposure"], count: int) -> None:
        """Count what was not written to Redis."""
        self._dropped.labels(kind).inc(count)

    def shed(self, endpoint: str) -> Counter:
        """Return what counts an endpoint's requests that are refused because of overload, shown from now on."""
        return self._shed.labels(endpoint)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a value that is read when the metrics are."""
        Gauge(f"recommender_{name}", text, registry=self.registry).set_function(value)

    def render(self) -> bytes:
        """Return the Prometheus text format."""
        return generate_latest(self.registry)
