"""Groups a storm of incidents: notifications that wait for the same channel become one message."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection

from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import Kind, NewNotification
from notification_gateway.outbox.notice import Notice
from notification_gateway.policy.mentions import MAX_MENTIONED
from notification_gateway.policy.model import Channel

# Fewer go one by one: they are easier to read, and each has its own links.
STORM = 6
MAX_MEMBERS = 500
_KINDS: tuple[Kind, ...] = ("opened", "repeated", "reminded", "resolved")

# Returns one notice for many notices of a kind.
Group = Callable[[Kind, Sequence[Notice]], Notice]


def group_storm(connection: Connection, channel: Channel, now: datetime, group: Group, *, scarce: bool) -> None:
    """Group due notifications into one, in a storm or if messages are scarce; the caller holds the channel's lock."""
    for kind in _KINDS:
        waiting = outbox.pending_of_kind(connection, channel, kind, now, MAX_MEMBERS)
        # A notification that some channel must not carry is not grouped: the others may need that channel.
        rows = [row for row in waiting if not row[1].not_through]
        if len(rows) < (2 if scarce else STORM):
            continue
        ids = [notification_id for notification_id, _ in rows]
        members = [notice for _, notice in rows]
        notice = group(kind, members).model_copy(
            update={"mention": _all("mention", members)[:MAX_MENTIONED], "tried": _all("tried", members)}
        )
        new = NewNotification(f"storm:{kind}:{channel}:{ids[0]}-{ids[-1]}:{len(ids)}", kind, channel, notice, due=now)
        group_id = outbox.enqueue(connection, new, now)
        if group_id is not None:
            outbox.add_to_group(connection, ids, group_id)


def _all(field: Literal["mention", "tried"], members: Sequence[Notice]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for member in members for name in getattr(member, field)))
