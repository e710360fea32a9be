"""Finds signals that look like repeats but change the state of an alert; for Alertmanager, which sends states."""

import hashlib
from collections.abc import Iterable

from sqlalchemy import Connection

from contracts.signals import AlertSignal
from notification_gateway.incidents import queries as incidents
from notification_gateway.incidents.endings import ALERTMANAGER_POINT
from notification_gateway.incidents.model import Incident, incident_key


def find_contradictions(connection: Connection, repeated: Iterable[AlertSignal]) -> list[AlertSignal]:
    """Return the repeated signals that contradict the state of their incident, with new signal ids.

    Alertmanager repeats a webhook until it is answered. An alert that fires, ends and fires again within a minute has
    the same signal id as such a repeat, but unlike a repeat it changes the state.
    """
    newest_signals = {_key(signal): signal for signal in repeated if signal.monitoring_point == ALERTMANAGER_POINT}
    newest = incidents.newest_by_key(connection, newest_signals) if newest_signals else {}
    return [
        signal.model_copy(update={"signal_id": _id_after(signal, newest[key])})
        for key, signal in newest_signals.items()
        if key in newest and _contradicts(signal, newest[key])
    ]


def _contradicts(signal: AlertSignal, incident: Incident) -> bool:
    if signal.kind == "recovered":
        return incident.state == "open" and incident.is_ended_by(signal)
    # An incident that a person closed stays closed, and a signal from before the end changes nothing.
    return (
        incident.resolution == "recovered"
        and incident.resolved_at is not None
        and signal.last_seen > incident.resolved_at
    )


def _id_after(signal: AlertSignal, incident: Incident) -> str:
    content = f"{signal.signal_id} {incident.id} {incident.signals} {incident.resolved_at}"
    return hashlib.sha256(content.encode()).hexdigest()


def _key(signal: AlertSignal) -> str:
    return incident_key(signal.environment, signal.service, signal.fingerprint)
