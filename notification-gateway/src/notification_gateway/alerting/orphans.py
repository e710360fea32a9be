"""Lets a symptom that outlives its cause stand for itself again, and notifies of it."""

from datetime import datetime

from sqlalchemy import Connection

from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.alerting.unattended import UnattendedIncidents
from notification_gateway.incidents import queries
from notification_gateway.incidents.model import Incident


class OrphanedSymptoms:
    """Looks for such incidents whenever it is asked to; one that does not fire again is found all the same."""

    def __init__(self, unattended: UnattendedIncidents, notifier: IncidentNotifier) -> None:
        self._unattended = unattended
        self._notifier = notifier

    def release(self) -> int:
        """Notify of what its cause hid; returns how many incidents that were."""
        policy = self._unattended.policy

        def notify(connection: Connection, incident: Incident, now: datetime) -> None:
            incident.ungroup(now)
            actions = policy.actions_of(incident.rule, incident.priority)
            self._notifier.released(connection, incident, actions, now)

        return self._unattended.notify("orphaned symptoms", queries.orphaned, notify)
