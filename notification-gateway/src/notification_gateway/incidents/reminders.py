"""Notifies again of open incidents that nobody has acknowledged."""

from collections.abc import Callable
from datetime import datetime, timedelta

from notification_gateway.incidents import queries
from notification_gateway.incidents.notifier import IncidentNotifier
from notification_gateway.policy.model import Policy
from notification_gateway.silences import queries as silences
from notification_gateway.storage import INCIDENTS, Storage, isolated

INTERVALS = {("P0",): timedelta(hours=4), ("P1", "P2"): timedelta(hours=24)}


class Reminders:
    """Looks for such incidents whenever it is asked to."""

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

    def remind(self) -> int:
        """Notify of what is still open; returns how many incidents that were."""
        now, policy = self._clock(), self._policy()
        with self._storage.alone(INCIDENTS) as connection:
            silenced = silences.active(connection, now)
            waiting = [
                incident
                for priorities, interval in INTERVALS.items()
                for incident in queries.unattended(connection, priorities, now - interval)
                if silenced.covering(incident, now) is None and policy.quiet_until(incident.rule, now) is None
            ]
            for incident in waiting:
                with isolated(connection, "reminders"):
                    actions = policy.actions_of(incident.rule, incident.priority)
                    self._notifier.reminded(connection, incident, actions, now)
                    queries.save(connection, incident)
        if waiting:
            self._on_stored()
        return len(waiting)
