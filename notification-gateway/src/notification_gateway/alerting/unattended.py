"""Notifies of unattended incidents, except silenced ones and those in quiet hours; a bad row doesn't stop the rest."""

from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import Connection

from notification_gateway.incidents import queries
from notification_gateway.incidents.model import Incident
from notification_gateway.policy.model import Policy
from notification_gateway.silences import queries as silences
from notification_gateway.storage import INCIDENTS, Storage, isolated

Find = Callable[[Connection, datetime], Iterable[Incident]]
Notify = Callable[[Connection, Incident, datetime], None]


class UnattendedIncidents:
    """`on_stored` is called, from any thread, when there may be something to send."""

    def __init__(
        self,
        storage: Storage,
        policy: Callable[[], Policy],
        clock: Callable[[], datetime],
        on_stored: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._policy = policy
        self._clock = clock
        self._on_stored = on_stored

    @property
    def policy(self) -> Policy:
        """The policy in use."""
        return self._policy()

    def notify(self, chore: str, find: Find, notify: Notify) -> int:
        """Notify of each incident that `find` returns, and store it; returns their number."""
        now, policy = self._clock(), self._policy()
        with self._storage.exclusive(INCIDENTS) as connection:
            silenced = silences.active(connection, now)
            waiting = [
                incident
                for incident in find(connection, now)
                if silenced.find_covering(incident, now) is None and policy.quiet_until(incident.rule, now) is None
            ]
            for incident in waiting:
                with isolated(connection, chore):
                    notify(connection, incident, now)
                    queries.update_incident(connection, incident)
        if waiting:
            self._on_stored()
        return len(waiting)
