"""Incidents in the database."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from notification_gateway.incidents.model import QUIET, History, Incident
from notification_gateway.stored import tags_of, texts_of
from notification_gateway.tables import incidents

_COLUMNS = [incidents.c[each.name] for each in fields(Incident)]


def of_row(row: RowMapping) -> Incident:
    """Return the incident of a row whose columns include all of the table's.

    It is never refused: an open incident that nobody could read would keep its successors out.
    """
    values = {each.name: row[each.name] for each in fields(Incident)}
    lists = {name: texts_of(values[name]) for name in ("fingerprint", "request_ids", "notified")}
    return Incident(**values | lists | {"tags": tags_of(values["tags"])})


def newest_by_key(connection: Connection, keys: Iterable[str]) -> dict[str, Incident]:
    """Return the newest incident of each key that has one."""
    newest = (
        select(func.max(incidents.c.id)).where(incidents.c.key.in_(sorted(set(keys)))).group_by(incidents.c.key)
    ).scalar_subquery()
    rows = connection.execute(select(*_COLUMNS).where(incidents.c.id.in_(newest)))
    return {incident.key: incident for incident in map(of_row, rows.mappings())}


def open_of(connection: Connection, environment: str, service: str) -> list[Incident]:
    """Return the open incidents of a service."""
    rows = connection.execute(
        select(*_COLUMNS).where(
            incidents.c.state == "open", incidents.c.environment == environment, incidents.c.service == service
        )
    )
    return [of_row(row) for row in rows.mappings()]


def quiet_since(connection: Connection, now: datetime, besides: Sequence[str]) -> list[Incident]:
    """Return the open incidents that have been quiet for long enough, except those of the points `besides`."""
    rows = connection.execute(
        select(*_COLUMNS).where(
            incidents.c.state == "open",
            incidents.c.last_signal_at <= now - QUIET,
            incidents.c.monitoring_point.not_in(besides),
        )
    )
    return [of_row(row) for row in rows.mappings()]


def unacknowledged(connection: Connection, told_before: datetime) -> list[Incident]:
    """Return the open P0 incidents of which people were told by then, that nobody acknowledged, not escalated yet."""
    rows = connection.execute(
        select(*_COLUMNS).where(
            incidents.c.state == "open",
            incidents.c.priority == "P0",
            incidents.c.told_at <= told_before,
            incidents.c.acknowledged_at.is_(None),
            incidents.c.escalated_at.is_(None),
        )
    )
    return [of_row(row) for row in rows.mappings()]


def by_id(connection: Connection, incident_id: int) -> Incident | None:
    """Return an incident, or None."""
    row = connection.execute(select(*_COLUMNS).where(incidents.c.id == incident_id)).mappings().first()
    return None if row is None else of_row(row)


def history(connection: Connection, key: str, since: datetime) -> History:
    """Return how often the same has happened since then, what goes on now included."""
    row = connection.execute(
        select(func.count(), func.sum(incidents.c.occurrences)).where(
            incidents.c.key == key, incidents.c.last_seen > since
        )
    ).one()
    return History(incidents=row[0], occurrences=int(row[1] or 0))


def add(connection: Connection, incident: Incident) -> None:
    """Store a new incident and give it its id."""
    values = asdict(incident)
    del values["id"]
    stored = connection.execute(insert(incidents).values(values)).inserted_primary_key
    assert stored is not None  # noqa: S101 - a single insert has a key
    incident.id = stored[0]


def save(connection: Connection, incident: Incident) -> None:
    """Store the changes of an incident."""
    values = asdict(incident)
    del values["id"]
    connection.execute(update(incidents).where(incidents.c.id == incident.id).values(values))
