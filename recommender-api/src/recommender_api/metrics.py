"""What `GET /metrics` shows."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import accumulate
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from contracts.events import REFUSAL_REASONS
from monitoring.prometheus import MonitoringCollector
from recommender_api.models import Arm

# From a cached answer on a quiet machine to the time budget of a request.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 1.0)

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


class Counts(Collector):
    """A counter by labels, at a fifth of the client library's cost; for one thread."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._counts: dict[tuple[str, ...], int] = defaultdict(int, {} if labels else {(): 0})

    def add(self, *labels: str) -> None:
        """Count one."""
        self._counts[labels] += 1

    def keep(self, wanted: Callable[[tuple[str, ...]], bool]) -> None:
        """Forget the counts of all other labels."""
        for labels in [labels for labels in self._counts if not wanted(labels)]:
            del self._counts[labels]

    def collect(self) -> Iterator[Metric]:
        """Show what was counted."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, count in list(self._counts.items()):  # as above
            family.add_metric(labels, count)
        yield family


class Metrics:
    """Counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counts(
            "recommender_requests_total",
            "Answers by endpoint, model variant, experiment, version in service, fallback level and degrade reason",
            ("endpoint", "variant", "experiment", "version", "level", "reason"),
        )
        self._seconds = Times("recommender_request_seconds", "Time from question to answer", "endpoint")
        self.stages = Times("recommender_stage_seconds", "Time of one stage of the main path", "stage")
        self.cached = Counts("recommender_cached_answers_total", "Answers from the result cache")
        for collector in (self._requests, self._seconds, self.stages, self.cached):
            self.registry.register(collector)
        self._events = Counter(
            "recommender_events_total", "Behaviour events taken, by outcome", ("outcome",), registry=self.registry
        )
        self._refused_events = Counter(
            "recommender_events_refused_total",
            "Behaviour events that were no events, by the field at fault",
            ("reason",),
            registry=self.registry,
        )
        for reason in REFUSAL_REASONS:
            # From the start: the rate of a series that begins with its first refusal would miss it.
            self._refused_events.labels(reason)
        self._unknown_datasets = Counter(
            "recommender_events_unknown_dataset_total",
            "Behaviour events about datasets that no model in service knows",
            registry=self.registry,
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

    def answered(self, endpoint: str, arm: Arm, level: int, reason: str | None, seconds: float) -> None:
        """Count an answer by the arm that was asked."""
        self._requests.add(endpoint, arm.variant, arm.experiment or "", arm.version, _LEVELS[level], reason or "")
        self._seconds.observe(endpoint, seconds)

    def keep_versions(self, versions: Collection[str]) -> None:
        """Forget the counts of the versions that are not in service any more, so that labels don't pile up."""
        self._requests.keep(lambda labels: labels[_VERSION] in versions)

    def events(self, outcome: Literal["accepted", "duplicate", "journaled", "replayed", "refused"], count: int) -> None:
        """Count behaviour events."""
        self._events.labels(outcome).inc(count)

    def event_refused(self, reason: str) -> None:
        """Count an event that was refused, by one of `REFUSAL_REASONS`."""
        self._refused_events.labels(reason).inc()

    def unknown_datasets(self, count: int) -> None:
        """Count events about datasets that no model in service knows."""
        self._unknown_datasets.inc(count)

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
