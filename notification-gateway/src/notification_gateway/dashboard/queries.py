"""What the page shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from notification_gateway.incidents.model import VERIFY, Incident
from notification_gateway.incidents.queries import of_row
from notification_gateway.messages.notice import Notice
from notification_gateway.policy.model import Alert, Channel
from notification_gateway.tables import digests, incidents, notifications, occurrence_minutes

HOUR = timedelta(hours=1)
RESOLVED_SHOWN = 30
DELIVERIES_SHOWN = 40
DIGESTS_SHOWN = 14


@dataclass(frozen=True)
class Digest:
    """A summary that was made."""

    alert: Alert
    channel: Channel
    period_end: datetime
    notice: Notice


@dataclass(frozen=True)
class Overview:
    """The content of the page at one moment."""

    open: Sequence[Incident]
    resolved: Sequence[Incident]
    deliveries: Sequence[RowMapping]
    digests: Sequence[Digest]
    errors_by_minute: Sequence[int]

    def count(self, priority: str) -> int:
        """Return how many open incidents have that priority."""
        return sum(incident.priority == priority for incident in self.open)


def overview(connection: Connection, now: datetime) -> Overview:
    """Read everything; incidents of `make verify` are left out."""
    real = incidents.c.environment != VERIFY
    opened = (
        select(incidents).where(incidents.c.state == "open", real).order_by(incidents.c.priority, incidents.c.id.desc())
    )
    resolved = (
        select(incidents)
        .where(incidents.c.state == "resolved", real)
        .order_by(incidents.c.resolved_at.desc())
        .limit(RESOLVED_SHOWN)
    )
    return Overview(
        open=_incidents(connection, opened),
        resolved=_incidents(connection, resolved),
        deliveries=connection.execute(
            select(notifications)
            .where(notifications.c.state != "suppressed")
            .order_by(notifications.c.id.desc())
            .limit(DELIVERIES_SHOWN)
        )
        .mappings()
        .all(),
        digests=[
            Digest(row["alert"], row["channel"], row["period_end"], Notice.model_validate(row["notice"]))
            for row in connection.execute(
                select(digests).order_by(digests.c.period_end.desc()).limit(DIGESTS_SHOWN)
            ).mappings()
        ],
        errors_by_minute=_errors_by_minute(connection, now),
    )


def _incidents(connection: Connection, statement: Any) -> list[Incident]:
    return [of_row(row) for row in connection.execute(statement).mappings()]


def _errors_by_minute(connection: Connection, now: datetime) -> list[int]:
    """Return the occurrences of level error in each of the last 60 minutes, oldest first."""
    this_minute = now.replace(second=0, microsecond=0)
    rows = connection.execute(
        select(occurrence_minutes.c.minute, func.sum(occurrence_minutes.c.occurrences))
        .where(
            occurrence_minutes.c.minute > now - HOUR,
            occurrence_minutes.c.level.in_(("error", "fatal")),
            occurrence_minutes.c.environment != VERIFY,
        )
        .group_by(occurrence_minutes.c.minute)
    )
    found = {minute: int(count) for minute, count in rows}
    return [found.get(this_minute - timedelta(minutes=59 - number), 0) for number in range(60)]
