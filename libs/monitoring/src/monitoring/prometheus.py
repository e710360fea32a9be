"""Monitoring's own counters for a Prometheus registry: `REGISTRY.register(MonitoringCollector())`."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from monitoring import process


class MonitoringCollector(Collector):
    """Exports `monitoring_reports_total`, `monitoring_events_delivered_total` and so on."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield one counter per name of `monitoring.metrics.Counters`."""
        for name, value in process.counters().items():
            text = f"Monitoring: {name.replace('_', ' ')} since the start of the process"
            yield CounterMetricFamily(f"monitoring_{name}", text, value=value)
