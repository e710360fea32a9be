"""Notifications: one notice to be sent through one channel."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from notification_gateway.outbox.notice import Notice
from notification_gateway.policy.model import Channel

Kind = Literal["opened", "repeated", "reminded", "escalated", "resolved", "summary", "notify"]
NotificationState = Literal["pending", "sending", "grouped", "sent", "failed", "suppressed"]
URGENCY: dict[Kind, int] = {
    "opened": 0,
    "repeated": 0,
    "escalated": 0,
    "reminded": 1,
    "notify": 1,
    "resolved": 1,
    "summary": 2,
}


@dataclass(frozen=True, slots=True)
class NewNotification:
    """A notification to enqueue; one with the same `dedupe_key` is enqueued once."""

    dedupe_key: str
    kind: Kind
    channel: Channel
    notice: Notice
    due: datetime
    incident_id: int | None = None
    suppressed: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A notification that this process may send until its lease expires; `attempts` includes the current one."""

    id: int
    dedupe_key: str
    kind: Kind
    channel: Channel
    notice: Notice
    incident_id: int | None
    attempts: int
    created_at: datetime
    lease_until: datetime
