"""The metrics that `GET /metrics` exports."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from http import HTTPStatus
from itertools import accumulate, product
from typing import Literal, Protocol, get_args

from prometheus_client import Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from contracts.events import REFUSAL_REASONS
from recommender_api.answers.budget import Stage
from recommender_api.answers.errors import DegradeReason
from recommender_api.answers.fast_path_errors import FastPathStep
from recommender_api.answers.query import Endpoint
from recommender_api.models.recent_traffic import AnswerCounts
from servicekit.metrics import ServiceMetrics

# From a cached answer on an idle machine to the time budget of a request.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 1.0)

_LEVELS = ("0", "1", "2", "3")
_VERSION, _LEVEL, _REASON = 3, 4, 5  # the position of each label
# What a model can be to blame for; the other reasons are Redis's.
_MODEL_ERRORS = frozenset({"timeout", "recall_failed", "rank_failed"})
EVENTS = "/events"
_RECOMMENDATION_ENDPOINTS = tuple(endpoint.value for endpoint in Endpoint)
_DEGRADE_REASONS: tuple[str, ...] = get_args(DegradeReason)
# The reason of an answer that isn't 2xx, by its status; 503 has several reasons.
_REASONS = {
    400: "unreadable",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "media_type",
    422: "invalid",
    500: "unhandled",
}
OVERLOADED, NO_MODEL, JOURNAL_FULL, UNHANDLED = "overloaded", "no_model", "journal_full", "unhandled"


EventOutcome = Literal["accepted", "duplicate", "journaled", "replayed", "refused"]
DroppedKind = Literal["cache", "exposure", "served_features"]


class ArmLabels(Protocol):
    """Labels of the arm that answered: its variant, experiment and version."""

    @property
    def variant(self) -> str:
        """`primary` or `canary`."""
        ...

    @property
    def experiment(self) -> str | None:
        """The experiment, None outside of one."""
        ...

    @property
    def version(self) -> str:
        """The registry's version of the model."""
        ...


class Times(Collector):
    """A histogram of seconds with one label, at a fifth of the client library's cost; for one thread."""

    def __init__(self, name: str, text: str, label: str, values: Sequence[str]) -> None:
        self._name = name
        self._text = text
        self._label = label
        # By value of the label: the count in each bucket, and above the last one.
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0] * (len(SECONDS) + 1))
        self._sums: dict[str, float] = defaultdict(float)
        for value in values:
            self._sums[value] = 0.0
            self._counts[value] = [0] * (len(SECONDS) + 1)

    def observe(self, label: str, seconds: float) -> None:
        """Count a duration."""
        self._counts[label][bisect_left(SECONDS, seconds)] += 1
        self._sums[label] += seconds

    def counts(self, label: str) -> Sequence[int]:
        """Return the counts of a label value in each bucket, and above the last one."""
        return tuple(self._counts.get(label, ())) or (0,) * (len(SECONDS) + 1)

    def keep(self, labels: Collection[str]) -> None:
        """Drop all other label values, and export 0 for those that have no count yet."""
        for label in self._counts.keys() - labels:
            del self._counts[label]
            self._sums.pop(label, None)
        for label in labels:
            self._counts.setdefault(label, [0] * (len(SECONDS) + 1))

    def collect(self) -> Iterator[Metric]:
        """Return the metric families."""
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        for label, counts in list(self._counts.items()):  # a request may add a label value meanwhile
            bounds = [*map(floatToGoString, SECONDS), "+Inf"]
            family.add_metric([label], list(zip(bounds, accumulate(counts), strict=True)), self._sums[label])
        yield family


class Counts(Collector):
    """A counter by labels, at a fifth of the client library's cost; for one thread."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), known: Collection[tuple[str, ...]] = ((),)
    ) -> None:
        """Export 0 for the `known` values of the labels: `increase()` misses the first sample of a new series."""
        self._name = name
        self._text = text
        self._labels = labels
        self._counts: dict[tuple[str, ...], int] = defaultdict(int, dict.fromkeys(known, 0))

    def add(self, *labels: str) -> None:
        """Count one."""
        self._counts[labels] += 1

    def begin(self, known: Collection[tuple[str, ...]]) -> None:
        """Export 0 for label values that have no count yet."""
        for labels in known:
            self._counts.setdefault(labels, 0)

    def total(self, wanted: Callable[[tuple[str, ...]], bool]) -> int:
        """Return the sum of the counts of some label values."""
        return sum(count for labels, count in list(self._counts.items()) if wanted(labels))

    def keep(self, wanted: Callable[[tuple[str, ...]], bool]) -> None:
        """Drop the counts of all other label values."""
        for labels in [labels for labels in self._counts if not wanted(labels)]:
            del self._counts[labels]

    def collect(self) -> Iterator[Metric]:
        """Return the metric family."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, count in list(self._counts.items()):  # see above
            family.add_metric(labels, count)
        yield family


class Metrics(ServiceMetrics):
    """Counters of one application."""

    def __init__(self) -> None:
        super().__init__()
        self._requests = Counts(
            "recommender_requests_total",
            "Answers by endpoint, model variant, experiment, version in service, fallback level and degrade reason",
            ("endpoint", "variant", "experiment", "version", "level", "reason"),
            known=(),
        )
        self._responses = Counts(
            "recommender_responses_total",
            "Answers of every kind by endpoint, HTTP status and reason: why it is degraded, or why it failed",
            ("endpoint", "status", "reason"),
            known=_known_responses(),
        )
        self._seconds = Times(
            "recommender_request_seconds", "Time from request to answer", "endpoint", _RECOMMENDATION_ENDPOINTS
        )
        self._version_seconds = Times(
            "recommender_version_request_seconds", "Time from request to answer, by version in service", "version", ()
        )
        self.stages = Times(
            "recommender_stage_seconds", "Duration of a main path stage", "stage", [each.value for each in Stage]
        )
        self.queued = Times(
            "recommender_queue_work_seconds",
            "During an overload: CPU time of other requests' work that a request waited for",
            "kind",
            ("question",),
        )
        self.cached = Counts("recommender_cached_answers_total", "Answers from the result cache")
        self.explored = Counts("recommender_explored_answers_total", "Answers in random order (EXPLORATION_SHARE)")
        times = (self._seconds, self._version_seconds, self.stages, self.queued)
        for collector in (self._requests, self._responses, *times, self.cached, self.explored):
            self.registry.register(collector)
        self._events = Counter(
            "recommender_events_total", "Accepted behaviour events, by outcome", ("outcome",), registry=self.registry
        )
        for outcome in get_args(EventOutcome):
            self._events.labels(outcome)
        self._refused_events = Counter(
            "recommender_events_refused_total",
            "Rejected behaviour events, by the invalid field",
            ("reason",),
            registry=self.registry,
        )
        for reason in REFUSAL_REASONS:
            # From the start: otherwise `rate()` misses a series' first rejection.
            self._refused_events.labels(reason)
        self._unknown_datasets = Counter(
            "recommender_events_unknown_dataset_total",
            "Behaviour events about datasets that are in no catalogue in service",
            registry=self.registry,
        )
        self._dropped = Counter(
            "recommender_writes_dropped_total",
            "Cache entries, exposures and served features dropped: Redis was unavailable or too slow, or past a bound",
            ("kind",),
            registry=self.registry,
        )
        for kind in get_args(DroppedKind):
            self._dropped.labels(kind)
        self._shed = Counter(
            "recommender_shed_total", "Requests rejected because of overload", ("endpoint",), registry=self.registry
        )
        self._fast_path_errors = Counter(
            "recommender_fast_path_errors_total",
            "Exceptions that only the fast path raised, by step; the request was answered the usual way",
            ("step",),
            registry=self.registry,
        )
        for step in get_args(FastPathStep):
            self._fast_path_errors.labels(step)

    def answered(self, endpoint: str, arm: ArmLabels, level: int, reason: str | None, seconds: float) -> None:
        """Count an answer by its arm."""
        self._requests.add(endpoint, arm.variant, arm.experiment or "", arm.version, _LEVELS[level], reason or "")
        self._responses.add(endpoint, "200", reason or "")
        self._seconds.observe(endpoint, seconds)
        self._version_seconds.observe(arm.version, seconds)

    def count_response(self, endpoint: str, status: int, reason: str | None = None) -> None:
        """Count an answer that `answered` doesn't count; without a `reason`, the status determines it."""
        if reason is None:
            reason = "" if status < HTTPStatus.BAD_REQUEST else _REASONS.get(status, "other")
        self._responses.add(endpoint, str(status), reason)

    def successes(self, endpoint: str) -> int:
        """Return the number of an endpoint's 2xx answers."""
        return self._responses.total(lambda labels: labels[0] == endpoint and labels[1].startswith("2"))

    def counts_of(self, version: str) -> AnswerCounts:
        """Return what a version has answered since it is in service."""

        def total(wanted: Callable[[tuple[str, ...]], bool]) -> int:
            return self._requests.total(lambda labels: labels[_VERSION] == version and wanted(labels))

        return AnswerCounts(
            answers=total(lambda _: True),
            errors=total(lambda labels: labels[_REASON] in _MODEL_ERRORS),
            fallback_answers=total(lambda labels: labels[_LEVEL] != _LEVELS[0]),
            times=self._version_seconds.counts(version),
        )

    def follow_arms(self, arms: Collection[ArmLabels]) -> None:
        """Export the arms that are in service now and drop the others, so that labels don't accumulate."""
        versions = {arm.version for arm in arms}
        self._requests.keep(lambda labels: labels[_VERSION] in versions)
        self._version_seconds.keep(versions)
        degraded = list(product(_LEVELS[1:], _DEGRADE_REASONS))
        for arm, endpoint in product(arms, _RECOMMENDATION_ENDPOINTS):
            head = (endpoint, arm.variant, arm.experiment or "", arm.version)
            self._requests.begin([(*head, "0", ""), *((*head, *each) for each in degraded)])

    def events(self, outcome: EventOutcome, count: int) -> None:
        """Count behaviour events."""
        self._events.labels(outcome).inc(count)

    def event_refused(self, reason: str) -> None:
        """Count a rejected event, by one of `REFUSAL_REASONS`."""
        self._refused_events.labels(reason).inc()

    def unknown_datasets(self, count: int) -> None:
        """Count events about datasets that are in no catalogue in service."""
        self._unknown_datasets.inc(count)

    def fast_path_failed(self, step: FastPathStep) -> None:
        """Count an exception that only the fast path raised."""
        self._fast_path_errors.labels(step).inc()

    def dropped(self, kind: DroppedKind, count: int) -> None:
        """Count writes to Redis that were dropped."""
        self._dropped.labels(kind).inc(count)

    def shed(self, endpoint: str) -> Counter:
        """Return the counter of an endpoint's requests rejected because of overload; it is exported from now on."""
        return self._shed.labels(endpoint)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Export a value that is read at each scrape."""
        Gauge(f"recommender_{name}", text, registry=self.registry).set_function(value)


def _known_responses() -> list[tuple[str, str, str]]:
    """Return the label values of every answer that an alert rule may count."""
    failures = [(str(status), _REASONS[status]) for status in (400, 404, 405, 413, 422, 500)]
    ends = [("200", ""), *(("200", reason) for reason in _DEGRADE_REASONS), *failures]
    recommendations = [*ends, ("503", OVERLOADED), ("503", NO_MODEL)]
    events = [("202", ""), *failures, ("401", _REASONS[401]), ("503", OVERLOADED), ("503", JOURNAL_FULL)]
    return [(endpoint, *each) for endpoint in _RECOMMENDATION_ENDPOINTS for each in recommendations] + [
        (EVENTS, *each) for each in events
    ]
