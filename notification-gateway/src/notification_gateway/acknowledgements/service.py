"""Writes down who takes care of an incident."""

from collections.abc import Callable
from datetime import datetime

from notification_gateway.incidents import queries
from notification_gateway.incidents.model import Incident
from notification_gateway.storage import INCIDENTS, Storage


class Acknowledgements:
    """The first one of an incident counts."""

    def __init__(self, storage: Storage, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._clock = clock

    def acknowledge(self, incident_id: int, by: str) -> Incident | None:
        """Return the incident as it is then, or None where there is none."""
        with self._storage.alone(INCIDENTS) as connection:
            incident = queries.by_id(connection, incident_id)
            if incident is not None:
                incident.acknowledge(by, self._clock())
                queries.save(connection, incident)
        return incident

    def get(self, incident_id: int) -> Incident | None:
        """Return an incident, or None."""
        with self._storage.reading() as connection:
            return queries.by_id(connection, incident_id)
