"""The heartbeat's queries."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select

from notification_gateway.incidents.model import VERIFY
from notification_gateway.storage import upsert
from notification_gateway.tables import heartbeats, incidents, notifications

NAME = "gateway"
# Longer than a failover takes.
MAX_UNDELIVERED = timedelta(minutes=2)
# Kinds of messages that need no action.
_HARMLESS = ("resolved", "summary")


def write_beat(connection: Connection, now: datetime) -> None:
    """Write a row, which fails if the disk is full or the database is read-only."""
    beat = upsert(connection, heartbeats).values(name=NAME, written_at=now)
    connection.execute(
        beat.on_conflict_do_update(index_elements=[heartbeats.c.name], set_={"written_at": beat.excluded.written_at})
    )


def undelivered_p0(connection: Connection, now: datetime) -> int:
    """Return the number of open, unacknowledged P0 incidents whose message has been undelivered for two minutes."""
    reached = notifications.alias("reached")
    due = and_(
        notifications.c.incident_id == incidents.c.id,
        notifications.c.kind.not_in(_HARMLESS),
        notifications.c.state.in_(("pending", "sending", "grouped", "failed")),
        notifications.c.created_at <= now - MAX_UNDELIVERED,
        ~_is_deferred(now),
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


def _is_deferred(now: datetime) -> ColumnElement[bool]:
    """Quiet hours defer it: its first attempt is in the future, or became due less than two minutes ago."""
    return and_(
        notifications.c.state == "pending",
        notifications.c.attempts == 0,
        notifications.c.next_attempt_at > now - MAX_UNDELIVERED,
    )
