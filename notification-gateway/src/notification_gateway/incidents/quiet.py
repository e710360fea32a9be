"""Ends incidents that have been quiet for a quarter of an hour."""

from collections.abc import Callable
from datetime import datetime

from notification_gateway.incidents import queries
from notification_gateway.incidents.telling import Telling
from notification_gateway.storage import INCIDENTS, Storage, isolated

# Its source says when it is over, and repeats itself only every few hours.
SAID_BY_SOURCE = ("alertmanager.alert",)


class QuietIncidents:
    """Looks for them whenever it is asked to."""

    def __init__(self, storage: Storage, telling: Telling, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._telling = telling
        self._clock = clock

    def resolve(self) -> int:
        """End what has been quiet; returns how many incidents that were."""
        now = self._clock()
        with self._storage.alone(INCIDENTS) as connection:
            quiet = queries.quiet_since(connection, now, SAID_BY_SOURCE)
            for incident in quiet:
                with isolated(connection, "quiet incidents"):
                    incident.resolve("quiet", now)
                    self._telling.resolved(connection, incident, now)
                    queries.save(connection, incident)
        return len(quiet)
