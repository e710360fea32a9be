"""Makes summaries: of periods that are over, and of the running ones when somebody asks for it."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from notification_gateway.messages.composer import Composer
from notification_gateway.messages.forms import plain
from notification_gateway.messages.summary import PeriodCounts
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import NewNotification
from notification_gateway.policy.model import Alert
from notification_gateway.storage import INCIDENTS, Storage, isolated
from notification_gateway.summaries import queries
from notification_gateway.summaries.content import RunningSummary, SummaryContent
from notification_gateway.summaries.periods import Periods


class Summaries:
    """Every period with entries is told of once, however late, also when the gateway was down at its end.

    What was sent before the end of a period is not said again at its end.
    """

    def __init__(
        self,
        storage: Storage,
        composer: Composer,
        periods: Periods,
        clock: Callable[[], datetime],
        on_stored: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._composer = composer
        self._periods = periods
        self._clock = clock
        self._on_stored = on_stored

    def close_due(self) -> int:
        """Close the periods that are over; returns how many."""
        now = self._clock()
        with self._storage.exclusive(INCIDENTS) as connection:
            due = [period for period in queries.periods(connection) if self._periods.end(period[0], period[2]) <= now]
            for period in due:
                with isolated(connection, "summaries"):
                    self._make(connection, period, self._periods.end(period[0], period[2]), now, is_manual=False)
        return len(due)

    def running(self, connection: Connection) -> list[RunningSummary]:
        """Return what the summaries of the running periods would say now; one without entries is left out."""
        now = self._clock()
        return [
            self._preview(connection, period, now)
            for period in queries.periods(connection)
            if self._periods.end(period[0], period[2]) > now
        ]

    def send_now(self, kind: Alert) -> list[int]:
        """Send what the running period's summary says so far; returns the ids of the summaries, of each channel one."""
        now = self._clock()
        with self._storage.exclusive(INCIDENTS) as connection:
            made = [
                self._make(connection, period, now, now, is_manual=True)
                for period in queries.periods(connection)
                if period[0] == kind and self._periods.end(kind, period[2]) > now
            ]
        if made:
            self._on_stored()
        return made

    def _preview(self, connection: Connection, period: queries.Period, now: datetime) -> RunningSummary:
        alert, channel, start = period
        counts = self._counts(connection, period, queries.next_part(connection, period), now)
        notice = self._composer.summary(counts)
        return RunningSummary(
            kind=alert,
            channel=channel,
            period_start=start,
            since=counts.since,
            until=now,
            period_end=self._periods.end(alert, start),
            title=notice.title,
            content=SummaryContent.of(counts, self._composer.links),
            text=plain(notice),
        )

    def _make(
        self, connection: Connection, period: queries.Period, end: datetime, now: datetime, *, is_manual: bool
    ) -> int:
        part = queries.next_part(connection, period)
        counts = self._counts(connection, period, part, end)
        notice = self._composer.summary(counts)
        notification_id = None
        # Of what is silenced alone nobody is told.
        if counts.channel != "dashboard" and counts.told:
            new = NewNotification(_key(period, part), "summary", counts.channel, notice, due=now)
            notification_id = outbox.put(connection, new, now)
        queries.remove_entries(connection, period)
        content = SummaryContent.of(counts, self._composer.links)
        return queries.add_summary(
            connection, period, part, end, content, notice, notification_id=notification_id, is_manual=is_manual
        )

    def _counts(
        self, connection: Connection, period: queries.Period, part: queries.Part, end: datetime
    ) -> PeriodCounts:
        alert, channel, start = period
        return PeriodCounts(alert, channel, start, part.since, end, queries.entries_of(connection, period))


def _key(period: queries.Period, part: queries.Part) -> str:
    alert, channel, start = period
    first = f"{alert}:{channel}:{start.isoformat()}"
    return f"{first}:{part.number}" if part.number else first
