"""Silences in the database."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import Connection, Row, delete, insert, select

from notification_gateway.silences.model import Matcher, Silence, Silences
from notification_gateway.tables import silences
from notification_gateway.unreadable import report_row


def active(connection: Connection, now: datetime) -> Silences:
    """Return the silences that hold now; one that can't be read silences nothing, and is reported."""
    rows = connection.execute(select(silences).where(silences.c.starts_at <= now, silences.c.ends_at > now))
    return Silences([*_readable(rows)])


def listed(connection: Connection, now: datetime) -> list[Silence]:
    """Return the silences that hold now or will, the next to end first; one that can't be read is reported."""
    rows = connection.execute(select(silences).where(silences.c.ends_at > now).order_by(silences.c.ends_at))
    return [*_readable(rows)]


def add(
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


def remove(connection: Connection, silence_id: int) -> bool:
    """Remove a silence, readable or not; returns whether there was one."""
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
