"""Tells a repeat from a change, for a source whose signals say what is so now."""

import hashlib
from collections.abc import Iterable

from sqlalchemy import Connection

from contracts.signals import AlertSignal
from notification_gateway.incidents import queries as incidents
from notification_gateway.incidents.endings import ALERTMANAGER_POINT
from notification_gateway.incidents.model import Incident, incident_key


def contradicting(connection: Connection, known: Iterable[AlertSignal]) -> list[AlertSignal]:
    """Return those of known signals that say otherwise than their incident, as signals of their own.

    Alertmanager repeats itself until it is answered, and an alert that fires, ends and fires again within a minute
    looks like such a repeat. But a repeat changes nothing.
    """
    stated = {_key(signal): signal for signal in known if signal.monitoring_point == ALERTMANAGER_POINT}
    newest = incidents.newest_by_key(connection, stated) if stated else {}
    return [
        signal.model_copy(update={"signal_id": _id_after(signal, newest[key])})
        for key, signal in stated.items()
        if key in newest and _contradicts(signal, newest[key])
    ]


def _contradicts(signal: AlertSignal, incident: Incident) -> bool:
    if signal.kind == "recovered":
        return incident.state == "open" and incident.ended_by(signal)
    # Not what a person closed: Alertmanager's repeat is no news to them. Nor what came before the end.
    return (
        incident.resolution == "recovered"
        and incident.resolved_at is not None
        and signal.last_seen > incident.resolved_at
    )


def _id_after(signal: AlertSignal, incident: Incident) -> str:
    said = f"{signal.signal_id} {incident.id} {incident.signals} {incident.resolved_at}"
    return hashlib.sha256(said.encode()).hexdigest()


def _key(signal: AlertSignal) -> str:
    return incident_key(signal.environment, signal.service, signal.fingerprint)
