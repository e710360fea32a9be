"""Escalates: sends an unacknowledged P0 once more, through the channels that the policy names."""

from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.alerting.unattended import UnattendedIncidents
from notification_gateway.incidents import queries


class Escalation:
    """`escalate` runs again and again; each incident is escalated once."""

    def __init__(self, unattended: UnattendedIncidents, notifier: IncidentNotifier) -> None:
        self._unattended = unattended
        self._notifier = notifier

    def escalate(self) -> int:
        """Escalate the incidents that have waited too long for an acknowledgement; returns their number."""
        escalation = self._unattended.policy.escalation
        if escalation is None:
            return 0
        return self._unattended.notify(
            "escalation",
            lambda connection, now: queries.unacknowledged(connection, now - escalation.after),
            lambda connection, incident, now: self._notifier.notify_escalated(
                connection, incident, escalation.channels, now
            ),
        )
