"""Queries of summary entries and of stored summaries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, select

from notification_gateway.incidents.model import Incident
from notification_gateway.incidents.queries import of_row
from notification_gateway.messages.summary import SummaryEntry
from notification_gateway.outbox.notice import Notice
from notification_gateway.policy.model import Alert, Channel
from notification_gateway.storage import upsert
from notification_gateway.summaries.content import SummaryContent
from notification_gateway.tables import digests, incidents, notifications, summary_entries
from notification_gateway.unreadable import report_row


class Period(NamedTuple):
    """The hour or day from `start` on, of which one channel gets a summary."""

    alert: Alert
    channel: Channel
    start: datetime


@dataclass(frozen=True)
class Part:
    """A part of a period: the number of parts before it, and the end of the last one."""

    number: int
    since: datetime


@dataclass(frozen=True)
class StoredSummary:
    """A stored summary; `content` is None if a release before migration 0005 stored it."""

    id: int
    kind: Alert
    channel: Channel
    period_start: datetime
    since: datetime
    period_end: datetime
    is_manual: bool
    content: SummaryContent | None
    notice: Notice
    state: str | None
    sent_at: datetime | None


def add_reminder(connection: Connection, period: Period, incident_id: int, now: datetime) -> None:
    """Add an entry without occurrences, so that the summary names an open incident."""
    statement = upsert(connection, summary_entries).values(
        alert=period.alert,
        channel=period.channel,
        period_start=period.start,
        incident_id=incident_id,
        minute=now.replace(second=0, microsecond=0),
        occurrences=0,
        silenced=0,
    )
    connection.execute(statement.on_conflict_do_nothing(index_elements=list(summary_entries.primary_key.columns)))


def periods(connection: Connection) -> Sequence[Period]:
    """Return the periods that have entries, oldest first."""
    rows = connection.execute(
        select(summary_entries.c.alert, summary_entries.c.channel, summary_entries.c.period_start)
        .distinct()
        .order_by(summary_entries.c.period_start, summary_entries.c.alert, summary_entries.c.channel)
    )
    return [Period(row.alert, row.channel, row.period_start) for row in rows]


def entries_of(connection: Connection, period: Period) -> list[SummaryEntry]:
    """Return the entries of a period that are in no summary yet."""
    rows = connection.execute(
        select(
            incidents,
            summary_entries.c.minute,
            summary_entries.c.occurrences.label("in_minute"),
            summary_entries.c.silenced,
        )
        .join(incidents, incidents.c.id == summary_entries.c.incident_id)
        .where(_of(period))
        .order_by(incidents.c.id, summary_entries.c.minute)
    ).mappings()
    incident_by_id: dict[int, Incident] = {}
    by_minute: dict[int, dict[datetime, int]] = {}
    silenced: dict[int, int] = {}
    reminded: set[int] = set()
    for row in rows:
        incident_id = row["id"]
        if incident_id not in incident_by_id:
            incident_by_id[incident_id] = of_row(row)
        minutes = by_minute.setdefault(incident_id, {})
        if row["in_minute"]:
            minutes[row["minute"]] = row["in_minute"]
        elif not row["silenced"]:
            reminded.add(incident_id)
        silenced[incident_id] = silenced.get(incident_id, 0) + row["silenced"]
    return [
        SummaryEntry(incident, by_minute[incident_id], silenced[incident_id], incident_id in reminded)
        for incident_id, incident in incident_by_id.items()
    ]


def remove_entries(connection: Connection, period: Period) -> None:
    """Delete the entries of a period, after its summary is stored."""
    connection.execute(delete(summary_entries).where(_of(period)))


def next_part(connection: Connection, period: Period) -> Part:
    """Return the part of a period after those that were sent."""
    row = connection.execute(
        select(func.max(digests.c.part), func.max(digests.c.period_end)).where(
            digests.c.alert == period.alert,
            digests.c.channel == period.channel,
            digests.c.period_start == period.start,
        )
    ).one()
    return Part(0, period.start) if row[0] is None else Part(row[0] + 1, row[1])


def add_summary(
    connection: Connection,
    period: Period,
    part: Part,
    content: SummaryContent,
    notice: Notice,
    *,
    end: datetime,
    notification_id: int | None,
    is_manual: bool,
) -> int:
    """Store a summary of a part that ends at `end`; returns its id."""
    stored = connection.execute(
        insert(digests)
        .values(
            alert=period.alert,
            channel=period.channel,
            period_start=period.start,
            part=part.number,
            since=part.since,
            period_end=end,
            is_manual=is_manual,
            content=content.model_dump(mode="json"),
            notice=notice.model_dump(mode="json"),
            notification_id=notification_id,
        )
        .returning(digests.c.id)
    )
    return int(stored.scalar_one())


def list_summaries(
    connection: Connection, *, kind: Alert | None = None, before: int | None = None, limit: int
) -> tuple[list[StoredSummary], int | None]:
    """Return the newest summaries, and `before` of the next page; unreadable ones are reported and left out."""
    statement = _select_summaries().order_by(digests.c.id.desc()).limit(limit + 1)
    if kind is not None:
        statement = statement.where(digests.c.alert == kind)
    if before is not None:
        statement = statement.where(digests.c.id < before)
    rows = connection.execute(statement).all()
    readable = [found for row in rows[:limit] if (found := _summary(row)) is not None]
    return readable, rows[limit - 1].id if len(rows) > limit else None


def by_id(connection: Connection, summary_id: int) -> StoredSummary | None:
    """Return a summary, or None."""
    row = connection.execute(_select_summaries().where(digests.c.id == summary_id)).first()
    return None if row is None else _summary(row)


def _of(period: Period) -> ColumnElement[bool]:
    return (
        (summary_entries.c.alert == period.alert)
        & (summary_entries.c.channel == period.channel)
        & (summary_entries.c.period_start == period.start)
    )


def _select_summaries() -> Select[tuple[object, ...]]:
    joined = digests.outerjoin(notifications, notifications.c.id == digests.c.notification_id)
    return select(digests, notifications.c.state, notifications.c.sent_at).select_from(joined)


def _summary(row: Row[tuple[object, ...]]) -> StoredSummary | None:
    try:
        notice = Notice.model_validate(row.notice)
        content = None if row.content is None else SummaryContent.model_validate(row.content)
    except ValidationError as error:
        report_row(digests.name, row.id, error)
        return None
    return StoredSummary(
        id=row.id,
        kind=row.alert,
        channel=row.channel,
        period_start=row.period_start,
        since=row.since or row.period_start,
        period_end=row.period_end,
        is_manual=row.is_manual,
        content=content,
        notice=notice,
        state=row.state,
        sent_at=row.sent_at,
    )
