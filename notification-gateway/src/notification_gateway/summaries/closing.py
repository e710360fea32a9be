"""Creates summaries: of ended periods, and of running ones on request."""

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
    """Each period with entries has one summary, even a late one, if the gateway was down at the period's end.

    A summary that is sent before the end of its period isn't repeated: the one at the end holds only what came later.
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
        """Close the periods that have ended; returns their number."""
        now = self._clock()
        with self._storage.exclusive(INCIDENTS) as connection:
            due = [period for period in queries.periods(connection) if self._end(period) <= now]
            for period in due:
                with isolated(connection, "summaries"):
                    self._make(connection, period, self._end(period), now, is_manual=False)
        return len(due)

    def preview_running(self, connection: Connection) -> list[RunningSummary]:
        """Return a preview of the summary of each running period that has entries."""
        now = self._clock()
        return [
            self._preview(connection, period, now) for period in queries.periods(connection) if self._end(period) > now
        ]

    def send_now(self, kind: Alert) -> list[int]:
        """Send the running period's summary as it is now; returns the ids of the summaries, one per channel."""
        now = self._clock()
        with self._storage.exclusive(INCIDENTS) as connection:
            summary_ids = [
                self._make(connection, period, now, now, is_manual=True)
                for period in queries.periods(connection)
                if period.alert == kind and self._end(period) > now
            ]
        if summary_ids:
            self._on_stored()
        return summary_ids

    def _preview(self, connection: Connection, period: queries.Period, now: datetime) -> RunningSummary:
        counts = self._counts(connection, period, queries.next_part(connection, period), now)
        notice = self._composer.compose_summary(counts)
        return RunningSummary(
            kind=period.alert,
            channel=period.channel,
            period_start=period.start,
            since=counts.since,
            until=now,
            period_end=self._end(period),
            title=notice.title,
            content=SummaryContent.of(counts, self._composer.links),
            text=plain(notice),
        )

    def _make(
        self, connection: Connection, period: queries.Period, end: datetime, now: datetime, *, is_manual: bool
    ) -> int:
        part = queries.next_part(connection, period)
        counts = self._counts(connection, period, part, end)
        notice = self._composer.compose_summary(counts)
        notification_id = None
        # A summary with silenced occurrences only is not sent.
        if counts.channel != "dashboard" and counts.unsilenced:
            new = NewNotification(_key(period, part), "summary", counts.channel, notice, due=now)
            notification_id = outbox.enqueue(connection, new, now)
        queries.remove_entries(connection, period)
        content = SummaryContent.of(counts, self._composer.links)
        return queries.add_summary(
            connection, period, part, content, notice, end=end, notification_id=notification_id, is_manual=is_manual
        )

    def _counts(
        self, connection: Connection, period: queries.Period, part: queries.Part, end: datetime
    ) -> PeriodCounts:
        return PeriodCounts(*period, part.since, end, queries.entries_of(connection, period))

    def _end(self, period: queries.Period) -> datetime:
        return self._periods.end(period.alert, period.start)


def _key(period: queries.Period, part: queries.Part) -> str:
    alert, channel, start = period
    first = f"{alert}:{channel}:{start.isoformat()}"
    return f"{first}:{part.number}" if part.number else first
