"""Deletes data that is older than its retention."""

from datetime import datetime, timedelta

from sqlalchemy import delete

from notification_gateway.storage import Storage
from notification_gateway.tables import (
    digests,
    hooks,
    incidents,
    notifications,
    occurrence_minutes,
    rate_misses,
    signals,
    silences,
    stack_changes,
)

# Rates look back a day at most.
MINUTES_RETENTION = timedelta(days=8)


def remove_old(storage: Storage, now: datetime, retention: timedelta) -> None:
    """Delete old signals, hooks, closed incidents with their rows, digests, silences and counts."""
    before = now - retention
    with storage.transaction() as connection:
        connection.execute(delete(signals).where(signals.c.received_at < before))
        connection.execute(delete(stack_changes).where(stack_changes.c.at < before))
        connection.execute(delete(hooks).where(hooks.c.received_at < before))
        connection.execute(delete(incidents).where(incidents.c.state == "resolved", incidents.c.resolved_at < before))
        connection.execute(
            delete(notifications).where(
                notifications.c.incident_id.is_(None),
                notifications.c.created_at < before,
                notifications.c.state.in_(("sent", "failed", "suppressed")),
            )
        )
        connection.execute(delete(digests).where(digests.c.period_end < before))
        connection.execute(delete(silences).where(silences.c.ends_at < before))
        connection.execute(delete(rate_misses).where(rate_misses.c.minute < now - MINUTES_RETENTION))
        connection.execute(delete(occurrence_minutes).where(occurrence_minutes.c.minute < now - MINUTES_RETENTION))
