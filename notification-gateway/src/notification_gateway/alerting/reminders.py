"""Reminds of open incidents without an acknowledgement."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection

from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.alerting.unattended import UnattendedIncidents
from notification_gateway.incidents import queries
from notification_gateway.incidents.model import Incident

INTERVALS = {("P0",): timedelta(hours=4), ("P1", "P2"): timedelta(hours=24)}


class Reminders:
    """`remind` runs again and again."""

    def __init__(self, unattended: UnattendedIncidents, notifier: IncidentNotifier) -> None:
        self._unattended = unattended
        self._notifier = notifier

    def remind(self) -> int:
        """Remind of the incidents whose last message is old enough; returns their number."""
        policy = self._unattended.policy

        def notify(connection: Connection, incident: Incident, now: datetime) -> None:
            actions = policy.actions_of(incident.rule, incident.priority)
            self._notifier.notify_reminded(connection, incident, actions, now)

        return self._unattended.notify("reminders", _due, notify)


def _due(connection: Connection, now: datetime) -> Iterator[Incident]:
    for priorities, interval in INTERVALS.items():
        yield from queries.unattended(connection, priorities, now - interval)
