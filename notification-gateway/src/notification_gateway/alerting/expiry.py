"""Closes incidents without new signals: after 15 minutes (ending by_quiet), or after 30 days (abandoned)."""

from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import Connection

from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.incidents import queries
from notification_gateway.incidents.endings import ending_of, points_that_never_go_quiet
from notification_gateway.incidents.model import Incident
from notification_gateway.incidents.states import Resolution
from notification_gateway.storage import INCIDENTS, Storage, isolated


class IncidentExpiry:
    """`resolve` runs again and again."""

    def __init__(self, storage: Storage, notifier: IncidentNotifier, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._notifier = notifier
        self._clock = clock

    def resolve(self) -> int:
        """Close the quiet and the abandoned incidents; returns their number."""
        now = self._clock()
        with self._storage.exclusive(INCIDENTS) as connection:
            loud = points_that_never_go_quiet()
            quiet = [each for each in queries.quiet_since(connection, now, loud) if ending_of(each) == "by_quiet"]
            self._end(connection, quiet, "quiet", now)
            abandoned = queries.abandoned(connection, now)
            self._end(connection, abandoned, "abandoned", now)
        return len(quiet) + len(abandoned)

    def _end(
        self, connection: Connection, incidents: Iterable[Incident], resolution: Resolution, now: datetime
    ) -> None:
        for incident in incidents:
            with isolated(connection, "incident expiry"):
                incident.resolve(resolution, now)
                self._notifier.notify_resolved(connection, incident, now)
                queries.update_incident(connection, incident)
