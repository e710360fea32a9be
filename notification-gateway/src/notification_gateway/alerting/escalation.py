"""Notifies once more, and others, of an urgent incident that nobody has acknowledged."""

from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.alerting.unattended import UnattendedIncidents
from notification_gateway.incidents import queries


class Escalation:
    """Looks for such incidents whenever it is asked to; each is escalated once."""

    def __init__(self, unattended: UnattendedIncidents, notifier: IncidentNotifier) -> None:
        self._unattended = unattended
        self._notifier = notifier

    def escalate(self) -> int:
        """Notify of what has waited too long for somebody; returns how many incidents that were."""
        escalation = self._unattended.policy.escalation
        if escalation is None:
            return 0
        return self._unattended.notify(
            "escalation",
            lambda connection, now: queries.unacknowledged(connection, now - escalation.after),
            lambda connection, incident, now: self._notifier.escalated(connection, incident, escalation.channels, now),
        )
