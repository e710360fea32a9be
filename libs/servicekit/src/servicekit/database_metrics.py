"""The measures of `servicekit.database_health` for a Prometheus registry."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from servicekit.database_health import WAIT_BUCKETS, Durations, Measured

_BOUNDS = (*map(floatToGoString, WAIT_BUCKETS), "+Inf")
_LABELS = ("database",)


class DatabaseCollector(Collector):
    """Exports `database_up`, `database_pool_…`, `database_connection_wait_seconds` and `database_connect_seconds`.

    `measured` yields the databases at each scrape.
    """

    def __init__(self, measured: Callable[[], Iterable[Measured]]) -> None:
        self._measured = measured

    def collect(self) -> Iterator[GaugeMetricFamily | HistogramMetricFamily]:
        """Yield each metric with all databases."""
        up = GaugeMetricFamily("database_up", "Whether the last try to get a connection reached it", labels=_LABELS)
        limit = GaugeMetricFamily("database_pool_limit", "Connections that may be open at once", labels=_LABELS)
        held = GaugeMetricFamily("database_pool_connections", "Open connections", labels=(*_LABELS, "state"))
        waits = HistogramMetricFamily(
            "database_connection_wait_seconds", "Time until a caller has a connection", labels=_LABELS
        )
        connects = HistogramMetricFamily(
            "database_connect_seconds", "Time to open a connection, or to fail", labels=_LABELS
        )
        for each in self._measured():
            name = [each.database]
            if each.health.is_up is not None:
                up.add_metric(name, float(each.health.is_up))
            limit.add_metric(name, each.limit)
            held.add_metric([*name, "in_use"], each.in_use)
            held.add_metric([*name, "idle"], each.idle)
            _add(waits, name, each.health.waits)
            _add(connects, name, each.health.connects)
        yield from (up, limit, held, waits, connects)


def _add(family: HistogramMetricFamily, labels: list[str], durations: Durations) -> None:
    counts, total = durations.snapshot()
    cumulated = [sum(counts[: place + 1]) for place in range(len(counts))]
    family.add_metric(labels, list(zip(_BOUNDS, cumulated, strict=True)), total)
