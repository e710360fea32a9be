"""The gateway's own metrics, in a registry of each application's own."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from monitoring.prometheus import MonitoringCollector

# The field of what can be read and not be stored.
UNSTORABLE = "unstorable"


class Metrics:
    """Counters and histograms for `/metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(MonitoringCollector())
        self.signals = Counter("gateway_signals", "Alert signals by outcome", ["outcome"], registry=self.registry)
        self.rejected = Counter(
            "gateway_rejected",
            "Signals and alerts that could not be read, by where they came in and the field at fault",
            ["source", "field"],
            registry=self.registry,
        )
        self.deliveries = Counter(
            "gateway_deliveries", "Notifications by channel and outcome", ["channel", "outcome"], registry=self.registry
        )
        self.latency = Histogram(
            "gateway_delivery_seconds",
            "From the signal to the accepted message",
            ["channel"],
            buckets=(0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300),
            registry=self.registry,
        )
