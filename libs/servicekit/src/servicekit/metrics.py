"""What the `/metrics` of every service is made of."""

from prometheus_client import CollectorRegistry, generate_latest

from monitoring.prometheus import MonitoringCollector


class ServiceMetrics:
    """A registry of one application, with the figures of monitoring in it; a service adds its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(MonitoringCollector())

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self.registry)
