"""Queries of silences."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import Connection, Row, delete, insert, select

from notification_gateway.silences.model import Matcher, Silence, Silences
from notification_gateway.tables import silences
from notification_gateway.unreadable import report_row


def active(connection: Connection, now: datetime) -> Silences:
    """Return the active silences; an unreadable one has no effect and is reported."""
    rows = connection.execute(select(silences).where(silences.c.starts_at <= now, silences.c.ends_at > now))
    return Silences([*_readable(rows)])


def list_unexpired(connection: Connection, now: datetime) -> list[Silence]:
    """Return the current and future silences, the next to end first; unreadable ones are reported and left out."""
    rows = connection.execute(select(silences).where(silences.c.ends_at > now).order_by(silences.c.ends_at))
    return [*_readable(rows)]


def add_silence(
    connection: Connection,
    matcher: Matcher,
    starts_at: datetime,
    ends_at: datetime,
    *,
    reason: str,
    created_by: str,
    now: datetime,
) -> Silence:
    """Store a silence."""
    stored = connection.execute(
        insert(silences)
        .values(
            matcher=matcher.model_dump(mode="json", exclude_none=True),
            reason=reason,
            created_by=created_by,
            created_at=now,
            starts_at=starts_at,
            ends_at=ends_at,
        )
        .returning(silences)
    ).one()
    return _of_row(stored)


def remove_silence(connection: Connection, silence_id: int) -> bool:
    """Delete a silence, even an unreadable one; returns whether it existed."""
    return connection.execute(delete(silences).where(silences.c.id == silence_id)).rowcount == 1


def _readable(rows: Iterable[Row[tuple[object, ...]]]) -> Iterator[Silence]:
    for row in rows:
        try:
            yield _of_row(row)
        except ValidationError as error:
            report_row(silences.name, row.id, error)


def _of_row(row: Row[tuple[object, ...]]) -> Silence:
    return Silence(
        id=row.id,
        matcher=Matcher.model_validate(row.matcher),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        reason=row.reason,
        created_by=row.created_by,
        created_at=row.created_at,
    )
