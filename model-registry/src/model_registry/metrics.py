"""The metrics of the registry."""

from typing import get_args

from prometheus_client import Counter, Gauge

from contracts.deployments import DeploymentMode
from servicekit.database_health import MONITOR
from servicekit.database_metrics import DatabaseCollector
from servicekit.metrics import ServiceMetrics

# The common prefix of the stack's metrics.
DEFAULT_MODEL = "ranker"
# `active`, `rolled_back`, or the check that refused the deployment.
OUTCOMES = (
    "active",
    "rolled_back",
    "signature",
    "source",
    "checksum",
    "manifest",
    "load",
    "golden",
    "gate",
    "activate",
)

WEBHOOK_OUTCOMES = ("delivered", "failed", "expired", "dropped")


class Metrics(ServiceMetrics):
    """The registry's counters, and those of monitoring."""

    def __init__(self) -> None:
        super().__init__()
        self.registry.register(DatabaseCollector(MONITOR.measured))
        self.uploads = Counter("registry_uploads_total", "Bundles taken in", ["model"], registry=self.registry)
        self.deployments = Counter(
            "registry_deployments_total",
            "Deployments by result: `active`, `rolled_back`, or the check that rejected them",
            ["model", "mode", "outcome"],
            registry=self.registry,
        )
        self.waiting = Gauge(
            "registry_waiting_requests",
            "Requests that wait for another active deployment",
            registry=self.registry,
        )
        self.webhook_deliveries = Counter(
            "registry_webhook_deliveries_total",
            "Deliveries to webhooks by outcome: `delivered`, `failed` (tried again), `expired` after a day, `dropped` "
            "because too many wait",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in WEBHOOK_OUTCOMES:
            self.webhook_deliveries.labels(outcome)
        self.begin(DEFAULT_MODEL)

    def begin(self, model: str) -> None:
        """Export 0 for all counters of a model: `increase()` misses a series' first sample."""
        self.uploads.labels(model)
        for mode in get_args(DeploymentMode):
            for outcome in OUTCOMES:
                self.deployments.labels(model, mode, outcome)
