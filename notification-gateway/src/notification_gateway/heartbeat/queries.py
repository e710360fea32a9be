"""What the heartbeat asks the database."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select

from notification_gateway.incidents.model import VERIFY
from notification_gateway.storage import upsert
from notification_gateway.tables import heartbeats, incidents, notifications

NAME = "gateway"
# Longer than a failover takes.
MAX_UNDELIVERED = timedelta(minutes=2)
# Nobody must act on these.
_HARMLESS = ("resolved", "summary")


def note_beat(connection: Connection, now: datetime) -> None:
    """Write, so that a full disk or a database that only reads is found out."""
    beat = upsert(connection, heartbeats).values(name=NAME, written_at=now)
    connection.execute(
        beat.on_conflict_do_update(index_elements=[heartbeats.c.name], set_={"written_at": beat.excluded.written_at})
    )


def undelivered_p0(connection: Connection, now: datetime) -> int:
    """Return how many open, unacknowledged P0 incidents have been due for two minutes and reached nobody."""
    reached = notifications.alias("reached")
    due = and_(
        notifications.c.incident_id == incidents.c.id,
        notifications.c.kind.not_in(_HARMLESS),
        notifications.c.state.in_(("pending", "sending", "grouped", "failed")),
        notifications.c.created_at <= now - MAX_UNDELIVERED,
        ~_waits_on_purpose(now),
        ~exists().where(
            reached.c.incident_id == notifications.c.incident_id,
            reached.c.kind == notifications.c.kind,
            reached.c.state == "sent",
            reached.c.created_at >= notifications.c.created_at,
        ),
    )
    count = connection.execute(
        select(func.count())
        .select_from(incidents)
        .where(
            incidents.c.state == "open",
            incidents.c.priority == "P0",
            incidents.c.environment != VERIFY,
            incidents.c.acknowledged_at.is_(None),
            exists().where(due),
        )
    ).scalar()
    return int(count or 0)


def _waits_on_purpose(now: datetime) -> ColumnElement[bool]:
    """Quiet hours: its first try is yet to come, or was due a moment ago."""
    return and_(
        notifications.c.state == "pending",
        notifications.c.attempts == 0,
        notifications.c.next_attempt_at > now - MAX_UNDELIVERED,
    )
