"""Monitoring's own figures for a Prometheus registry: `REGISTRY.register(MonitoringCollector())`."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from monitoring import process


class MonitoringCollector(Collector):
    """Exports `monitoring_reports_total`, `monitoring_events_delivered_total`, `monitoring_events_waiting` and more."""

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield one counter per name of `monitoring.counters()`, and what waits for collector and gateway."""
        for name, value in process.counters().items():
            text = f"Monitoring: {name.replace('_', ' ')} since the start of the process"
            yield CounterMetricFamily(f"monitoring_{name}", text, value=value)
        for kind, waiting in process.waiting().items():
            text = f"Monitoring: {kind} that are not delivered yet"
            yield GaugeMetricFamily(f"monitoring_{kind}_waiting", text, value=waiting)
