"""The counters of outcomes."""

from collections import OrderedDict

from prometheus_client import CollectorRegistry, Counter

from feature_sync.events.pending_outcomes import OUTCOME_WINDOWS
from feature_sync.outcomes.attribution import Attributed, Place
from feature_sync.outcomes.tables import NOWHERE, SUM_OF

# Series of the versions that were counted last; a version has some hundreds.
MAX_VERSIONS = 5
# Later positions have one series together.
MAX_POSITION = 10
_PLACE = ["model_version", "variant", "endpoint", "position"]
RESULTS = ("attributed", "repeated", "unattributed")

Labels = tuple[str, ...]


class OutcomeMetrics:
    """Counts what this process has attributed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._exposures = Counter(
            "sync_exposures_total", "Datasets shown to users, by place in the answers", _PLACE, registry=registry
        )
        self._outcomes = Counter(
            "sync_outcomes_total", "Outcomes, by the place of their exposures", [*_PLACE, "type"], registry=registry
        )
        self._events = Counter(
            "sync_outcome_events_total",
            "Clicks, favourites and purchases by whether an exposure was found that had no such outcome yet",
            ["type", "result"],
            registry=registry,
        )
        for type_ in OUTCOME_WINDOWS:
            for result in RESULTS:
                self._events.labels(type_, result)
        self._series: OrderedDict[str, set[tuple[Counter, Labels]]] = OrderedDict()

    def count(self, done: Attributed) -> None:
        """Add what was attributed."""
        for (type_, result), count in done.events.items():
            self._events.labels(type_, result).inc(count)
        for place, sums in done.sums.items():
            if place.position == NOWHERE:
                continue
            labels = _labels(place)
            self._add(self._exposures, labels, sums["exposures"])
            for type_, name in SUM_OF.items():
                self._add(self._outcomes, (*labels, type_), sums[name])

    def _add(self, counter: Counter, labels: Labels, count: int) -> None:
        version = labels[0]
        self._series.setdefault(version, set()).add((counter, labels))
        self._series.move_to_end(version)
        counter.labels(*labels).inc(count)
        if len(self._series) > MAX_VERSIONS:
            _, series = self._series.popitem(last=False)
            for each, its_labels in series:
                each.remove(*its_labels)


def _labels(place: Place) -> Labels:
    cohort, position = place
    shown = str(position) if position < MAX_POSITION else f"{MAX_POSITION}+"
    return cohort.model_version, cohort.variant, cohort.endpoint, shown
