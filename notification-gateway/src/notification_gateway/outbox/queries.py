"""Queries of the outbox: enqueue, claim, mark, group."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Text, and_, cast, delete, func, or_, select, update

from notification_gateway.outbox.model import URGENCY, Claim, Kind, NewNotification
from notification_gateway.outbox.notice import Notice
from notification_gateway.outbox.pacing import MINUTE, Attempts
from notification_gateway.policy.model import Channel
from notification_gateway.storage import upsert
from notification_gateway.stored import parse_stored
from notification_gateway.tables import notifications

# Read as text: if one row isn't valid JSON, the driver must not fail for all rows.
_NOTICE = cast(notifications.c.notice, Text).label("notice_text")


class UnreadableNoticeError(ValueError):
    """A stored notice cannot be read: mark it as failed, or it blocks all others."""

    def __init__(self, notification_id: int) -> None:
        super().__init__(f"notification {notification_id} cannot be read")
        self.notification_id = notification_id


def enqueue(connection: Connection, new: NewNotification, now: datetime) -> int | None:
    """Store a notification; returns its id, or None if one with the same key exists."""
    statement = (
        upsert(connection, notifications)
        .values(
            dedupe_key=new.dedupe_key,
            incident_id=new.incident_id,
            kind=new.kind,
            channel=new.channel,
            urgency=URGENCY[new.kind],
            notice=new.notice.model_dump(mode="json"),
            state="suppressed" if new.suppressed else "pending",
            created_at=now,
            next_attempt_at=new.due,
        )
        .on_conflict_do_nothing(index_elements=[notifications.c.dedupe_key])
        .returning(notifications.c.id)
    )
    return connection.execute(statement).scalar()


def withdraw_pending(connection: Connection, incident_id: int, kind: Kind) -> list[str]:
    """Delete an incident's unsent notifications of a kind; returns their channels."""
    withdrawn = connection.execute(
        delete(notifications)
        .where(
            notifications.c.incident_id == incident_id,
            notifications.c.kind == kind,
            notifications.c.state.in_(("pending", "suppressed")),
        )
        .returning(notifications.c.channel)
    )
    return list(withdrawn.scalars())


def is_waiting(connection: Connection, incident_id: int, channel: str, kinds: Sequence[Kind]) -> bool:
    """Say whether a message of one of these kinds waits to be sent."""
    waiting = select(notifications.c.id).where(
        notifications.c.incident_id == incident_id,
        notifications.c.channel == channel,
        notifications.c.kind.in_(kinds),
        notifications.c.state.in_(("pending", "grouped")),
    )
    return connection.execute(waiting.limit(1)).first() is not None


def is_held(connection: Connection, incident_id: int, channel: Channel, now: datetime) -> bool:
    """Say whether the first message of an incident waits for the end of quiet hours."""
    statement = select(notifications.c.id).where(_held(incident_id, channel, now)).limit(1)
    return connection.execute(statement).first() is not None


def release_held(connection: Connection, incident_id: int, channel: Channel, notice: Notice, now: datetime) -> None:
    """Make the message that waits for the end of quiet hours due now, with a new notice."""
    connection.execute(
        update(notifications)
        .where(_held(incident_id, channel, now))
        .values(next_attempt_at=now, notice=notice.model_dump(mode="json"))
    )


def reassign_orphans(connection: Connection, configured: Collection[Channel], fallback: Channel) -> int:
    """Move the messages of channels that are no longer configured to `fallback`; returns their number."""
    moved = connection.execute(
        update(notifications)
        .where(notifications.c.state.in_(("pending", "sending", "grouped")), notifications.c.channel.not_in(configured))
        .values(channel=fallback)
    )
    return moved.rowcount


def recent_attempts(connection: Connection, channel: Channel, now: datetime) -> Attempts:
    """Return the attempts through a channel in the last minute."""
    row = connection.execute(
        select(func.count(), func.max(notifications.c.last_attempt_at)).where(
            notifications.c.channel == channel, notifications.c.last_attempt_at > now - MINUTE
        )
    ).one()
    return Attempts(row[0], row[1])


def claim(connection: Connection, channel: Channel, now: datetime, lease: timedelta, *, limit: int) -> list[Claim]:
    """Claim up to `limit` due notifications for the time of the lease, most urgent first.

    Messages of one incident keep their order. Raises `UnreadableNoticeError`.
    """
    if limit <= 0:
        return []
    rows = connection.execute(
        select(*(column for column in notifications.c if column is not notifications.c.notice), _NOTICE)
        .where(notifications.c.channel == channel, _due(now), ~_waits_for_another())
        .order_by(notifications.c.urgency, notifications.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not rows:
        return []
    connection.execute(
        update(notifications)
        .where(notifications.c.id.in_([row.id for row in rows]))
        .values(
            state="sending",
            attempts=notifications.c.attempts + 1,
            last_attempt_at=now,
            lease_until=now + lease,
        )
    )
    return [
        Claim(
            id=row.id,
            dedupe_key=row.dedupe_key,
            kind=row.kind,
            channel=row.channel,
            notice=_read_notice(row.id, row.notice_text),
            incident_id=row.incident_id,
            attempts=row.attempts + 1,
            created_at=row.created_at,
            lease_until=now + lease,
        )
        for row in rows
    ]


def pending_of_kind(
    connection: Connection, channel: Channel, kind: Kind, now: datetime, limit: int
) -> Sequence[tuple[int, Notice]]:
    """Return the due notifications of a kind about incidents, without an attempt so far, oldest first.

    Raises `UnreadableNoticeError`.
    """
    rows = connection.execute(
        select(notifications.c.id, _NOTICE)
        .where(
            notifications.c.channel == channel,
            notifications.c.kind == kind,
            notifications.c.incident_id.is_not(None),
            notifications.c.state == "pending",
            notifications.c.attempts == 0,
            notifications.c.next_attempt_at <= now,
            ~_waits_for_another(),
        )
        .order_by(notifications.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(row.id, _read_notice(row.id, row.notice_text)) for row in rows]


def add_to_group(connection: Connection, ids: Sequence[int], group_id: int) -> None:
    """Mark notifications as members of a group: the notification `group_id` carries them."""
    connection.execute(
        update(notifications)
        .where(notifications.c.id.in_(ids))
        .values(state="grouped", group_id=group_id, detail=f"part of message {group_id}")
    )


def move_group(connection: Connection, claimed: Claim, channel: Channel, group_id: int) -> None:
    """Move the members of a group to another notification, of another channel."""
    connection.execute(
        update(notifications)
        .where(notifications.c.group_id == claimed.id)
        .values(channel=channel, group_id=group_id, detail=f"part of message {group_id}")
    )


def mark_sent(connection: Connection, claimed: Claim, now: datetime, detail: str) -> None:
    """Mark a notification and the members of its group as sent."""
    connection.execute(
        update(notifications).where(notifications.c.group_id == claimed.id).values(state="sent", sent_at=now)
    )
    connection.execute(
        update(notifications)
        .where(notifications.c.id == claimed.id)
        .values(
            state="sent",
            sent_at=now,
            lease_until=None,
            detail=detail,
            latency_seconds=(now - claimed.created_at).total_seconds(),
        )
    )


def mark_waiting(connection: Connection, claimed: Claim, until: datetime, detail: str) -> None:
    """Schedule the next attempt, unless another process has claimed it since."""
    connection.execute(
        update(notifications)
        .where(_still_held(claimed))
        .values(state="pending", next_attempt_at=until, lease_until=None, detail=detail)
    )


def mark_failed(connection: Connection, claimed: Claim, detail: str) -> None:
    """Mark a notification and its group as failed, unless another process has claimed it since."""
    given_up = connection.execute(
        update(notifications).where(_still_held(claimed)).values(state="failed", lease_until=None, detail=detail)
    )
    if given_up.rowcount:
        connection.execute(
            update(notifications).where(notifications.c.group_id == claimed.id).values(state="failed", detail=detail)
        )


def mark_unreadable(connection: Connection, notification_id: int, detail: str) -> None:
    """Mark a notification as failed because its notice cannot be read."""
    connection.execute(
        update(notifications)
        .where(notifications.c.id == notification_id)
        .values(state="failed", lease_until=None, detail=detail)
    )


def oldest_due(connection: Connection, now: datetime) -> datetime | None:
    """Return the creation time of the oldest due notification, or None."""
    statement = select(func.min(notifications.c.created_at)).where(
        notifications.c.state.in_(("pending", "sending")), notifications.c.next_attempt_at <= now
    )
    oldest: datetime | None = connection.execute(statement).scalar()
    return oldest


def _read_notice(notification_id: int, text: str) -> Notice:
    try:
        return Notice.model_validate(parse_stored(text))
    except ValidationError as error:
        raise UnreadableNoticeError(notification_id) from error


def _held(incident_id: int, channel: Channel, now: datetime) -> ColumnElement[bool]:
    return and_(
        notifications.c.incident_id == incident_id,
        notifications.c.channel == channel,
        notifications.c.kind == "opened",
        notifications.c.state == "pending",
        notifications.c.attempts == 0,
        notifications.c.next_attempt_at > now,
    )


def _due(now: datetime) -> ColumnElement[bool]:
    return or_(
        and_(notifications.c.state == "pending", notifications.c.next_attempt_at <= now),
        # The sender's lease has expired: it died, or hangs.
        and_(notifications.c.state == "sending", notifications.c.lease_until <= now),
    )


def _waits_for_another() -> ColumnElement[bool]:
    earlier = notifications.alias("earlier")
    return (
        select(earlier.c.id)
        .where(
            earlier.c.incident_id == notifications.c.incident_id,
            earlier.c.channel == notifications.c.channel,
            earlier.c.id < notifications.c.id,
            earlier.c.state.in_(("pending", "sending", "grouped")),
        )
        .exists()
    )


def _still_held(claimed: Claim) -> ColumnElement[bool]:
    return and_(
        notifications.c.id == claimed.id,
        notifications.c.state == "sending",
        notifications.c.lease_until == claimed.lease_until,
    )
