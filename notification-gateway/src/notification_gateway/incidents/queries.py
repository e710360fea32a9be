"""Loads and stores incidents."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, or_, select, update

from notification_gateway.incidents.causes import ALERTS_AFTER, explained_until
from notification_gateway.incidents.model import ABANDONED, QUIET, History, Incident
from notification_gateway.incidents.timeline import store_changes
from notification_gateway.stored import tags_of, texts_of
from notification_gateway.tables import incidents

# The columns by the fields that they store.
_STORED = {each.name: incidents.c[each.name] for each in fields(Incident) if each.name != "changes"}


def of_row(row: RowMapping) -> Incident:
    """Return the incident of a row whose columns include all of the table's.

    It never raises: an open incident that can't be read would block new ones of its key.
    """
    values = {name: row[column] for name, column in _STORED.items()}
    lists = {name: texts_of(values[name]) for name in ("fingerprint", "request_ids", "notified")}
    return Incident(**values | lists | {"tags": tags_of(values["tags"])})


def newest_by_key(connection: Connection, keys: Iterable[str]) -> dict[str, Incident]:
    """Return the newest incident of each key that has one."""
    newest = (
        select(func.max(incidents.c.id)).where(incidents.c.key.in_(sorted(set(keys)))).group_by(incidents.c.key)
    ).scalar_subquery()
    rows = connection.execute(select(*_STORED.values()).where(incidents.c.id.in_(newest)))
    return {incident.key: incident for incident in map(of_row, rows.mappings())}


def open_of(connection: Connection, environment: str, points: Iterable[str]) -> list[Incident]:
    """Return the open incidents of some points."""
    return _where(
        connection,
        incidents.c.state == "open",
        incidents.c.environment == environment,
        incidents.c.monitoring_point.in_(sorted(set(points))),
    )


def related(connection: Connection, environment: str, points: Iterable[str], now: datetime) -> list[Incident]:
    """Return the incidents of some points that are open or ended a short time ago, newest first."""
    wanted = (
        or_(incidents.c.state == "open", incidents.c.resolved_at >= now - ALERTS_AFTER),
        incidents.c.environment == environment,
        incidents.c.monitoring_point.in_(sorted(set(points))),
    )
    return sorted(_where(connection, *wanted), key=lambda each: each.id, reverse=True)


def open_between(connection: Connection, keys: Iterable[str], after: datetime, before: datetime) -> list[Incident]:
    """Return the incidents of some keys that were open at some time between two times, newest first."""
    wanted = (
        incidents.c.key.in_(sorted(set(keys))),
        incidents.c.first_seen <= before,
        or_(incidents.c.resolved_at.is_(None), incidents.c.resolved_at >= after),
    )
    return sorted(_where(connection, *wanted), key=lambda each: each.id, reverse=True)


def quiet_since(connection: Connection, now: datetime, excluded_points: Sequence[str]) -> list[Incident]:
    """Return the open incidents without a signal for `QUIET`, except those of `excluded_points`."""
    return _where(
        connection,
        incidents.c.state == "open",
        incidents.c.last_signal_at <= now - QUIET,
        incidents.c.monitoring_point.not_in(excluded_points),
    )


def abandoned(connection: Connection, now: datetime) -> list[Incident]:
    """Return the open incidents without a signal for `ABANDONED`."""
    return _where(connection, incidents.c.state == "open", incidents.c.last_signal_at <= now - ABANDONED)


def unattended(connection: Connection, priorities: Sequence[str], notified_before: datetime) -> list[Incident]:
    """Return the unacknowledged open incidents of some priorities, last notified before `notified_before`."""
    return _where(
        connection,
        incidents.c.state == "open",
        incidents.c.priority.in_(priorities),
        incidents.c.acknowledged_at.is_(None),
        incidents.c.parent_id.is_(None),
        func.coalesce(incidents.c.last_notified_at, incidents.c.opened_at) <= notified_before,
    )


def orphaned(connection: Connection, now: datetime) -> list[Incident]:
    """Return the open incidents whose cause no longer explains them, or is deleted."""
    symptoms = _where(connection, incidents.c.state == "open", incidents.c.parent_id.is_not(None))
    wanted = {each.parent_id for each in symptoms}
    causes = {each.id: each for each in _where(connection, incidents.c.id.in_(wanted))} if wanted else {}

    def is_orphan(symptom: Incident) -> bool:
        cause = causes.get(symptom.parent_id or 0)
        if cause is None:
            return True
        until = explained_until(cause, symptom)
        return until is not None and until < now

    return [each for each in symptoms if is_orphan(each)]


def children(connection: Connection, incident_id: int) -> list[Incident]:
    """Return the children of an incident, oldest first."""
    return sorted(_where(connection, incidents.c.parent_id == incident_id), key=lambda each: each.id)


def unacknowledged(connection: Connection, notified_before: datetime) -> list[Incident]:
    """Return the open P0 incidents to escalate: first notified by then, not acknowledged, not escalated yet."""
    return _where(
        connection,
        incidents.c.state == "open",
        incidents.c.priority == "P0",
        incidents.c.notified_at <= notified_before,
        incidents.c.acknowledged_at.is_(None),
        incidents.c.escalated_at.is_(None),
        incidents.c.parent_id.is_(None),
    )


def by_id(connection: Connection, incident_id: int) -> Incident | None:
    """Return an incident, or None."""
    row = connection.execute(select(*_STORED.values()).where(incidents.c.id == incident_id)).mappings().first()
    return None if row is None else of_row(row)


def history(connection: Connection, key: str, since: datetime) -> History:
    """Return how often incidents of a key occurred since then, the current one included."""
    row = connection.execute(
        select(func.count(), func.sum(incidents.c.occurrences)).where(
            incidents.c.key == key, incidents.c.last_seen > since
        )
    ).one()
    return History(incidents=row[0], occurrences=int(row[1] or 0))


def insert_incident(connection: Connection, incident: Incident) -> None:
    """Store a new incident and give it its id."""
    stored = connection.execute(insert(incidents).values(_values(incident))).inserted_primary_key
    assert stored is not None  # noqa: S101 - a single insert has a key
    incident.id = stored[0]
    store_changes(connection, incident)


def update_incident(connection: Connection, incident: Incident) -> None:
    """Store the changes of an incident."""
    connection.execute(update(incidents).where(incidents.c.id == incident.id).values(_values(incident)))
    store_changes(connection, incident)


def _values(incident: Incident) -> dict[str, Any]:
    return {name: getattr(incident, name) for name in _STORED if name != "id"}


def _where(connection: Connection, *conditions: ColumnElement[bool]) -> list[Incident]:
    return [of_row(row) for row in connection.execute(select(*_STORED.values()).where(*conditions)).mappings()]
