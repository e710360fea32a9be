"""Releases symptoms that outlive their cause: ungroups them and notifies of them."""

from datetime import datetime

from sqlalchemy import Connection

from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.alerting.unattended import UnattendedIncidents
from notification_gateway.incidents import queries
from notification_gateway.incidents.model import Incident


class OrphanedSymptoms:
    """`release` runs again and again; it also finds symptoms that don't fire again."""

    def __init__(self, unattended: UnattendedIncidents, notifier: IncidentNotifier) -> None:
        self._unattended = unattended
        self._notifier = notifier

    def release(self) -> int:
        """Ungroup the symptoms whose cause has ended, and notify of them; returns their number."""
        policy = self._unattended.policy

        def notify(connection: Connection, incident: Incident, now: datetime) -> None:
            incident.ungroup(now)
            actions = policy.actions_of(incident.rule, incident.priority)
            self._notifier.notify_released(connection, incident, actions, now)

        return self._unattended.notify("orphaned symptoms", queries.orphaned, notify)
