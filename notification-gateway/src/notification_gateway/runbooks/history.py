"""How earlier incidents of a monitoring point ended."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from notification_gateway.incidents.model import VERIFY, Change, Incident
from notification_gateway.incidents.queries import of_row
from notification_gateway.incidents.timeline import changes_of
from notification_gateway.tables import incidents

MAX_INCIDENTS = 5


@dataclass(frozen=True)
class ClosedIncident:
    """A closed incident, and the changes that people made."""

    incident: Incident
    changes: list[Change]


def last_closed(connection: Connection, monitoring_point: str) -> list[ClosedIncident]:
    """Return the last closed incidents of a point, newest first; the environment `verify` is left out."""
    rows = connection.execute(
        select(incidents)
        .where(
            incidents.c.monitoring_point == monitoring_point,
            incidents.c.state == "resolved",
            incidents.c.environment != VERIFY,
        )
        .order_by(incidents.c.resolved_at.desc(), incidents.c.id.desc())
        .limit(MAX_INCIDENTS)
    )
    found = [of_row(row) for row in rows.mappings()]
    return [
        ClosedIncident(each, [change for change in changes_of(connection, each.id) if change.actor]) for each in found
    ]
