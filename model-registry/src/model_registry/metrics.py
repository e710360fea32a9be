"""What `/metrics` tells of the registry."""

from prometheus_client import CollectorRegistry, Counter, generate_latest

from monitoring.prometheus import MonitoringCollector


class Metrics:
    """The registry's counters, and those of monitoring."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(MonitoringCollector())
        self.uploads = Counter("registry_uploads_total", "Bundles taken in", ["model"], registry=self._registry)
        self.deployments = Counter(
            "registry_deployments_total",
            "Deployments by how they ended: `active`, or the check that refused them",
            ["model", "mode", "outcome"],
            registry=self._registry,
        )

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self._registry)
