"""The incidents that a batch of signals touches; knows no database."""

from collections.abc import Iterable
from datetime import datetime

from contracts.signals import AlertSignal
from notification_gateway.incidents.model import Incident, incident_key
from notification_gateway.policy.evaluation import Decision


class IncidentBook:
    """The newest incident of each key; `changed` are those to be stored again, in order of their first change."""

    def __init__(self, newest: dict[str, Incident]) -> None:
        self._newest = dict(newest)
        self._changed: dict[int, Incident] = {}

    @property
    def changed(self) -> list[Incident]:
        """The incidents that a signal has changed."""
        return list(self._changed.values())

    def know(self, incidents: Iterable[Incident]) -> None:
        """Add incidents that a recovery may end."""
        for incident in incidents:
            self._newest.setdefault(incident.key, incident)

    def fired(self, signal: AlertSignal, decision: Decision, now: datetime) -> tuple[Incident, bool]:
        """Return the signal's incident, and whether it was over and began again."""
        key = incident_key(signal.environment, signal.service, signal.fingerprint)
        incident = self._newest.get(key)
        was_over = incident is not None and incident.state == "resolved"
        if incident is None or not incident.takes(signal, now):
            incident, was_over = Incident.opened_by(signal, decision, now), False
            self._newest[key] = incident
        else:
            incident.add(signal, decision, now)
        self._changed[id(incident)] = incident
        return incident, was_over and incident.state == "open"

    def recovered(self, signal: AlertSignal, now: datetime) -> list[Incident]:
        """End the open incidents that the recovery names, and return them."""
        ended = [each for each in self._newest.values() if each.state == "open" and each.ended_by(signal)]
        for incident in ended:
            incident.resolve("recovered", now, signal.last_seen)
            self._changed[id(incident)] = incident
        return ended
