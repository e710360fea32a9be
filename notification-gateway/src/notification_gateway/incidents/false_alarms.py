"""How many of the incidents that people were notified of were false alarms, as people have marked them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Connection, func, select

from notification_gateway.incidents.model import VERIFY
from notification_gateway.storage import Storage
from notification_gateway.tables import incidents

PERIOD = timedelta(days=30)
# The product promises less.
PROMISED_SHARE = 0.05


@dataclass(frozen=True)
class FalseAlarms:
    """How many incidents of a period were notified, and how many of them were marked."""

    notified: int
    marked: int

    @property
    def share(self) -> float | None:
        """Return `marked` / `notified`; None if no incident was notified."""
        return self.marked / self.notified if self.notified else None

    @property
    def keeps_promise(self) -> bool:
        """Whether the share is below `PROMISED_SHARE`; True if no incident was notified."""
        return self.share is None or self.share < PROMISED_SHARE


def count_false_alarms(connection: Connection, now: datetime) -> FalseAlarms:
    """Count the incidents that opened in the last 30 days and were notified, at once or in a summary.

    An incident under another one is part of that one's message, so it doesn't count.
    """
    by_resolution = (
        select(incidents.c.resolution, func.count())
        .where(
            incidents.c.opened_at > now - PERIOD,
            incidents.c.environment != VERIFY,
            incidents.c.parent_id.is_(None),
            incidents.c.last_notified_at.is_not(None),
        )
        .group_by(incidents.c.resolution)
    )
    counts = {resolution: int(count) for resolution, count in connection.execute(by_resolution)}
    return FalseAlarms(sum(counts.values()), counts.get("false_alarm", 0))


class FalseAlarmGauges:
    """The gauges `gateway_notified_incidents` and `gateway_false_alarms`, read from the database of all replicas."""

    def __init__(self, storage: Storage, registry: CollectorRegistry) -> None:
        self._storage = storage
        self._notified = Gauge(
            "gateway_notified_incidents",
            "Incidents of the last 30 days that people were notified of",
            registry=registry,
        )
        self._marked = Gauge(
            "gateway_false_alarms",
            "Incidents of the last 30 days that people were notified of and marked as false alarms",
            registry=registry,
        )

    def refresh(self, now: datetime) -> None:
        """Count them again."""
        with self._storage.read() as connection:
            counted = count_false_alarms(connection, now)
        self._notified.set(counted.notified)
        self._marked.set(counted.marked)
