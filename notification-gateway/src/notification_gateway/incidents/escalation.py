"""Tells once more, and others, of an urgent incident that nobody has acknowledged."""

from collections.abc import Callable
from datetime import datetime

from notification_gateway.incidents import queries
from notification_gateway.incidents.notifier import IncidentNotifier
from notification_gateway.policy.model import Policy
from notification_gateway.silences import queries as silences
from notification_gateway.storage import INCIDENTS, Storage, isolated


class Escalation:
    """Looks for such incidents whenever it is asked to; each is escalated once."""

    def __init__(
        self,
        storage: Storage,
        policy: Callable[[], Policy],
        notifier: IncidentNotifier,
        clock: Callable[[], datetime],
        on_stored: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._policy = policy
        self._notifier = notifier
        self._clock = clock
        self._on_stored = on_stored

    def escalate(self) -> int:
        """Tell of what has waited too long for somebody; returns how many incidents that were."""
        policy, now = self._policy(), self._clock()
        escalation = policy.escalation
        if escalation is None:
            return 0
        with self._storage.alone(INCIDENTS) as connection:
            silenced = silences.active(connection, now)
            waiting = [
                incident
                for incident in queries.unacknowledged(connection, now - escalation.after)
                if silenced.covering(incident, now) is None and policy.quiet_until(incident.rule, now) is None
            ]
            for incident in waiting:
                with isolated(connection, "escalation"):
                    self._notifier.escalated(connection, incident, escalation.channels, now)
                    queries.save(connection, incident)
        if waiting:
            self._on_stored()
        return len(waiting)
