"""The gateway's metrics, in a registry per application."""

from prometheus_client import Counter, Histogram

from servicekit.database_health import MONITOR
from servicekit.database_metrics import DatabaseCollector
from servicekit.metrics import ServiceMetrics

# The label `field` of signals that can be read but not stored.
UNSTORABLE = "unstorable"
# Series that exist from the start; other fields depend on the senders.
_REJECTED = (("signals", UNSTORABLE), ("alertmanager", UNSTORABLE), ("alertmanager", "truncatedAlerts"))


class Metrics(ServiceMetrics):
    """Counters and histograms for `/metrics`."""

    def __init__(self) -> None:
        super().__init__()
        self.registry.register(DatabaseCollector(MONITOR.measured))
        self.signals = Counter("gateway_signals", "Alert signals by outcome", ["outcome"], registry=self.registry)
        self.rejected = Counter(
            "gateway_rejected",
            "Signals and alerts that could not be read, by where they came in and the field at fault",
            ["source", "field"],
            registry=self.registry,
        )
        # From the start: `increase()` misses the first sample of a new series.
        for outcome in ("accepted", "duplicate", "rejected"):
            self.signals.labels(outcome)
        for source, field in _REJECTED:
            self.rejected.labels(source, field)
        self.requests = Counter(
            "gateway_requests",
            "Degraded and failed requests for the index, by outcome",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("accepted", "rejected", "left_out"):
            self.requests.labels(outcome)
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

        self.heartbeats = Counter(
            "gateway_heartbeats", "Calls of HEARTBEAT_URL by outcome", ["outcome"], registry=self.registry
        )
        for outcome in ("sent", "failed", "withheld"):
            # Prometheus doesn't see the first increase of a series that began with it.
            self.heartbeats.labels(outcome)
