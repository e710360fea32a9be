"""The outbox in the database."""

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

# As text: one that is no JSON must not stop the driver at all the rows around it.
_NOTICE = cast(notifications.c.notice, Text).label("notice_text")


class UnreadableNoticeError(ValueError):
    """A stored notice cannot be read: mark it as failed, or it holds up all others."""

    def __init__(self, notification_id: int) -> None:
        super().__init__(f"notification {notification_id} cannot be read")
        self.notification_id = notification_id


def put(connection: Connection, new: NewNotification, now: datetime) -> int | None:
    """Store a notification; returns its id, or None when its key is known."""
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
    """Take back what nobody has sent yet; returns its channels."""
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
    """Say whether a message of one of these kinds is not sent yet."""
    waiting = select(notifications.c.id).where(
        notifications.c.incident_id == incident_id,
        notifications.c.channel == channel,
        notifications.c.kind.in_(kinds),
        notifications.c.state.in_(("pending", "grouped")),
    )
    return connection.execute(waiting.limit(1)).first() is not None


def is_held(connection: Connection, incident_id: int, channel: Channel, now: datetime) -> bool:
    """Say whether the message that an incident began waits for the end of quiet hours."""
    statement = select(notifications.c.id).where(_held(incident_id, channel, now)).limit(1)
    return connection.execute(statement).first() is not None


def release_held(connection: Connection, incident_id: int, channel: Channel, notice: Notice, now: datetime) -> None:
    """Have the message that waits for the end of quiet hours sent now, as it reads now."""
    connection.execute(
        update(notifications)
        .where(_held(incident_id, channel, now))
        .values(next_attempt_at=now, notice=notice.model_dump(mode="json"))
    )


def move_orphans(connection: Connection, known: Collection[Channel], heir: Channel) -> int:
    """Have another channel send what waits for one that is no longer configured; returns how many."""
    moved = connection.execute(
        update(notifications)
        .where(notifications.c.state.in_(("pending", "sending", "grouped")), notifications.c.channel.not_in(known))
        .values(channel=heir)
    )
    return moved.rowcount


def attempts(connection: Connection, channel: Channel, now: datetime) -> Attempts:
    """Return what was sent through a channel in the last minute."""
    row = connection.execute(
        select(func.count(), func.max(notifications.c.last_attempt_at)).where(
            notifications.c.channel == channel, notifications.c.last_attempt_at > now - MINUTE
        )
    ).one()
    return Attempts(row[0], row[1])


def claim(connection: Connection, channel: Channel, now: datetime, lease: timedelta, *, limit: int) -> list[Claim]:
    """Take up to `limit` due notifications, most urgent first, for as long as the lease.

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


def waiting_alike(
    connection: Connection, channel: Channel, kind: Kind, now: datetime, limit: int
) -> Sequence[tuple[int, Notice]]:
    """Return the due notifications of incidents that nobody has tried to send yet, oldest first.

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


def put_into_group(connection: Connection, ids: Sequence[int], group_id: int) -> None:
    """Have one notification tell of others, too."""
    connection.execute(
        update(notifications)
        .where(notifications.c.id.in_(ids))
        .values(state="grouped", group_id=group_id, detail=f"told of in message {group_id}")
    )


def hand_group_over(connection: Connection, claimed: Claim, channel: Channel, group_id: int) -> None:
    """Have the members of a group told of by another notification, through another channel."""
    connection.execute(
        update(notifications)
        .where(notifications.c.group_id == claimed.id)
        .values(channel=channel, group_id=group_id, detail=f"told of in message {group_id}")
    )


def mark_sent(connection: Connection, claimed: Claim, now: datetime, detail: str) -> None:
    """Write down that the other side has it, and so of what it tells of besides."""
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
    """Write down that it is tried again later, unless another process holds it by now."""
    connection.execute(
        update(notifications)
        .where(_still_held(claimed))
        .values(state="pending", next_attempt_at=until, lease_until=None, detail=detail)
    )


def mark_failed(connection: Connection, claimed: Claim, detail: str) -> None:
    """Write down that it is given up, unless another process holds it by now."""
    given_up = connection.execute(
        update(notifications).where(_still_held(claimed)).values(state="failed", lease_until=None, detail=detail)
    )
    if given_up.rowcount:
        connection.execute(
            update(notifications).where(notifications.c.group_id == claimed.id).values(state="failed", detail=detail)
        )


def mark_unreadable(connection: Connection, notification_id: int, detail: str) -> None:
    """Write down that a notification is given up because its notice cannot be read."""
    connection.execute(
        update(notifications)
        .where(notifications.c.id == notification_id)
        .values(state="failed", lease_until=None, detail=detail)
    )


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many notifications there are by channel and state."""
    rows = connection.execute(
        select(notifications.c.channel, notifications.c.state, func.count()).group_by(
            notifications.c.channel, notifications.c.state
        )
    )
    return {(channel, state): count for channel, state, count in rows}


def oldest_due(connection: Connection, now: datetime) -> datetime | None:
    """Return since when the longest-waiting notification has been due, or None."""
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
        # Its sender died, or hangs past every timeout.
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
