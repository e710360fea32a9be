"""Closes periods that are over: their digest is kept, and sent where its channel sends."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from notification_gateway.messages.composer import Composer
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import NewNotification
from notification_gateway.storage import INCIDENTS, Storage, isolated
from notification_gateway.summaries import queries
from notification_gateway.summaries.periods import Periods


class Summaries:
    """Every period with entries is told of once, however late, also when the gateway was down at its end."""

    def __init__(self, storage: Storage, composer: Composer, periods: Periods, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._composer = composer
        self._periods = periods
        self._clock = clock

    def close_due(self) -> int:
        """Close the periods that are over; returns how many."""
        now = self._clock()
        with self._storage.alone(INCIDENTS) as connection:
            due = [period for period in queries.periods(connection) if self._periods.end(period[0], period[2]) <= now]
            for period in due:
                with isolated(connection, "summaries"):
                    self._close(connection, period, now)
        return len(due)

    def _close(self, connection: Connection, period: queries.Period, now: datetime) -> None:
        alert, channel, start = period
        end = self._periods.end(alert, start)
        entries = queries.take_entries(connection, period)
        by_time = queries.by_time(connection, start, end, [entry.incident for entry in entries])
        notice = self._composer.summary(alert, start, end, entries, by_time)
        queries.add_digest(connection, period, end, notice)
        if channel == "dashboard":
            return
        outbox.put(
            connection,
            NewNotification(
                dedupe_key=f"{alert}:{channel}:{start.isoformat()}",
                kind="summary",
                channel=channel,
                notice=notice,
                due=now,
            ),
            now,
        )
