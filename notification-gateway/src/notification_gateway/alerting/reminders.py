"""Notifies again of open incidents that nobody has acknowledged."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection

from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.alerting.unattended import UnattendedIncidents
from notification_gateway.incidents import queries
from notification_gateway.incidents.model import Incident

INTERVALS = {("P0",): timedelta(hours=4), ("P1", "P2"): timedelta(hours=24)}


class Reminders:
    """Looks for such incidents whenever it is asked to."""

    def __init__(self, unattended: UnattendedIncidents, notifier: IncidentNotifier) -> None:
        self._unattended = unattended
        self._notifier = notifier

    def remind(self) -> int:
        """Notify of what is still open; returns how many incidents that were."""
        policy = self._unattended.policy

        def notify(connection: Connection, incident: Incident, now: datetime) -> None:
            actions = policy.actions_of(incident.rule, incident.priority)
            self._notifier.reminded(connection, incident, actions, now)

        return self._unattended.notify("reminders", _due, notify)


def _due(connection: Connection, now: datetime) -> Iterator[Incident]:
    for priorities, interval in INTERVALS.items():
        yield from queries.unattended(connection, priorities, now - interval)
