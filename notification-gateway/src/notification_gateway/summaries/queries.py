"""Summary entries and digests in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select

from notification_gateway.incidents.model import Incident, incident_key
from notification_gateway.incidents.queries import of_row
from notification_gateway.messages.composer import SummaryEntry
from notification_gateway.messages.notice import Notice
from notification_gateway.policy.model import Alert, Channel
from notification_gateway.storage import upsert
from notification_gateway.stored import texts_of
from notification_gateway.tables import digests, incidents, occurrence_minutes, summary_entries

# An hour in steps of two and a half minutes, a day in steps of an hour.
PARTS = 24
Period = tuple[Alert, Channel, datetime]


def add_entry(
    connection: Connection, alert: Alert, channel: Channel, start: datetime, incident_id: int, occurrences: int
) -> None:
    """Count a signal of an incident into a period."""
    statement = upsert(connection, summary_entries).values(
        alert=alert, channel=channel, period_start=start, incident_id=incident_id, occurrences=occurrences, signals=1
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(summary_entries.primary_key.columns),
            set_={
                "occurrences": summary_entries.c.occurrences + statement.excluded.occurrences,
                "signals": summary_entries.c.signals + 1,
            },
        )
    )


def periods(connection: Connection) -> Sequence[Period]:
    """Return the periods that have entries, oldest first."""
    rows = connection.execute(
        select(summary_entries.c.alert, summary_entries.c.channel, summary_entries.c.period_start)
        .distinct()
        .order_by(summary_entries.c.period_start)
    )
    return [(row.alert, row.channel, row.period_start) for row in rows]


def take_entries(connection: Connection, period: Period) -> list[SummaryEntry]:
    """Return the entries of a period and remove them."""
    alert, channel, start = period
    here = (
        (summary_entries.c.alert == alert)
        & (summary_entries.c.channel == channel)
        & (summary_entries.c.period_start == start)
    )
    rows = connection.execute(
        select(incidents, summary_entries.c.occurrences.label("in_period"))
        .join(incidents, incidents.c.id == summary_entries.c.incident_id)
        .where(here)
    ).mappings()
    entries = [SummaryEntry(of_row(row), row["in_period"]) for row in rows]
    connection.execute(delete(summary_entries).where(here))
    return entries


def by_time(connection: Connection, start: datetime, end: datetime, told: Sequence[Incident]) -> list[int]:
    """Return the occurrences of incidents in equal parts of a period."""
    keys = {incident.key for incident in told}
    rows = connection.execute(
        select(occurrence_minutes).where(occurrence_minutes.c.minute >= start, occurrence_minutes.c.minute < end)
    )
    counts = [0] * PARTS
    for row in rows:
        if incident_key(row.environment, row.service, texts_of(row.fingerprint)) in keys:
            counts[int((row.minute - start) / (end - start) * PARTS)] += row.occurrences
    return counts


def add_digest(connection: Connection, period: Period, end: datetime, notice: Notice) -> None:
    """Keep what was said of a period, for the dashboard."""
    alert, channel, start = period
    connection.execute(
        upsert(connection, digests)
        .values(alert=alert, channel=channel, period_start=start, period_end=end, notice=notice.model_dump(mode="json"))
        .on_conflict_do_nothing(index_elements=[digests.c.alert, digests.c.channel, digests.c.period_start])
    )
