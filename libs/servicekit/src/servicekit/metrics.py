"""What the `/metrics` of every service is made of."""

from prometheus_client import CollectorRegistry, generate_latest

from monitoring.prometheus import MonitoringCollector
from servicekit.database_health import MONITOR
from servicekit.database_metrics import DatabaseCollector


class ServiceMetrics:
    """A registry of one application, with the figures of monitoring and databases; a service adds its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(MonitoringCollector())
        self.registry.register(DatabaseCollector(MONITOR.measured))

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self.registry)
