"""The durations of the steps of the newest run, for `/metrics`."""

from prometheus_client import CollectorRegistry, Gauge

from notification_gateway.reports.queries import last_checks
from notification_gateway.storage import Storage

REFRESH_SECONDS = 15


class StepDurations:
    """The gauge `gateway_run_step_seconds{step}`, read from the database, which all replicas share."""

    def __init__(self, storage: Storage, registry: CollectorRegistry) -> None:
        self._storage = storage
        self._gauge = Gauge(
            "gateway_run_step_seconds",
            "Seconds that each step took in the newest run of the pipeline that was reported",
            ["step"],
            registry=registry,
        )

    def refresh(self) -> None:
        """Read the newest durations."""
        with self._storage.read() as connection:
            found = last_checks(connection, 1)
        self._gauge.clear()
        for _, results in found:
            for each in results.steps:
                self._gauge.labels(each.step).set(each.seconds)
