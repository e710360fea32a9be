"""The incidents that a batch of signals touches, in memory; no database access."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from contracts.signals import AlertSignal
from notification_gateway.incidents.model import Incident, incident_key
from notification_gateway.policy.evaluation import Decision


@dataclass(frozen=True, slots=True)
class Firing:
    """The effect of a fired signal on its incident: opened it, reopened it, or began a new episode."""

    incident: Incident
    opened: bool = False
    reopened: bool = False
    new_episode: bool = False


class IncidentBook:
    """The newest incident of each key; `changed` lists those to store, in order of their first change."""

    def __init__(self, newest: dict[str, Incident]) -> None:
        self._newest = dict(newest)
        self._changed: dict[int, Incident] = {}

    @property
    def changed(self) -> list[Incident]:
        """The incidents that have changed."""
        return list(self._changed.values())

    @property
    def incidents(self) -> list[Incident]:
        """All incidents that are loaded."""
        return list(self._newest.values())

    def load(self, incidents: Iterable[Incident]) -> None:
        """Add incidents that a recovery may end, or that may explain others."""
        for incident in incidents:
            self._newest.setdefault(incident.key, incident)

    def mark_changed(self, incident: Incident) -> None:
        """Add an incident to those that are stored again."""
        self._changed[id(incident)] = incident

    def apply_fired(self, signal: AlertSignal, decision: Decision, now: datetime) -> Firing:
        """Add a fired signal to its incident, or open one."""
        key = incident_key(signal.environment, signal.service, signal.fingerprint)
        incident = self._newest.get(key)
        if incident is None or not incident.accepts(signal, now):
            incident = self._newest[key] = Incident.open_from(signal, decision, now)
            self.mark_changed(incident)
            return Firing(incident, opened=True)
        was_resolved = incident.state == "resolved"
        new_episode = incident.add_signal(signal, decision, now)
        self.mark_changed(incident)
        return Firing(incident, reopened=was_resolved and incident.state == "open", new_episode=new_episode)

    def apply_recovered(self, signal: AlertSignal, now: datetime) -> list[Incident]:
        """Resolve the open incidents that a recovery ends, and return them."""
        ended = [each for each in self._newest.values() if each.state == "open" and each.is_ended_by(signal)]
        for incident in ended:
            incident.recover(signal, now)
            self.mark_changed(incident)
        return ended
