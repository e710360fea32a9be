"""Reads stored signals page by page, in the order of arrival."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import Connection, and_, or_, select

from contracts.query_values import parse_whole_number
from contracts.signals import AlertSignal, UnreadableSignal, read_signal
from notification_gateway.storage import Storage
from notification_gateway.tables import signals

PAGE = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class StoredSignal(BaseModel):
    """A signal and its time of arrival."""

    received_at: Annotated[
        AwareDatetime, Field(description="When the gateway stored it", examples=["2026-11-24T12:00:00Z"])
    ]
    signal: Annotated[AlertSignal, Field(description="The signal, as it was sent")]


class Position(NamedTuple):
    """The position of a signal in the order; its text form is the cursor between pages."""

    received_at: datetime
    signal_id: str

    def __str__(self) -> str:
        return f"{(self.received_at - _EPOCH) // _MICROSECOND}-{self.signal_id}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position of a text; raises `ValueError`."""
        microseconds, _, signal_id = text.partition("-")
        try:
            return cls(_EPOCH + parse_whole_number(microseconds) * _MICROSECOND, signal_id)
        except OverflowError as error:
            raise ValueError("the time lies outside of the calendar") from error


class SignalRows(NamedTuple):
    """The readable signals of a page, the number of unreadable ones, and the position before the next page."""

    signals: list[StoredSignal]
    unreadable: int
    next_after: Position | None


def read_page(connection: Connection, since: datetime, after: Position | None, limit: int) -> SignalRows:
    """Return up to `limit` signals that arrived since a time, after a position."""
    statement = (
        select(signals.c.signal_id, signals.c.received_at, signals.c.body)
        .where(signals.c.received_at >= since)
        .order_by(signals.c.received_at, signals.c.signal_id)
        .limit(limit + 1)
    )
    if after is not None:
        at = signals.c.received_at
        same = and_(at == after.received_at, signals.c.signal_id > after.signal_id)
        statement = statement.where(or_(at > after.received_at, same))
    rows = connection.execute(statement).all()
    read = [(row.received_at, read_signal(row.body)) for row in rows[:limit]]
    found = [StoredSignal(received_at=at, signal=each) for at, each in read if not isinstance(each, UnreadableSignal)]
    last = Position(rows[limit - 1].received_at, rows[limit - 1].signal_id) if len(rows) > limit else None
    return SignalRows(found, len(read) - len(found), last)


def read_all(storage: Storage, since: datetime) -> Iterator[StoredSignal]:
    """Yield all signals that arrived since a time; unreadable ones are left out."""
    after: Position | None = None
    while True:
        with storage.read() as connection:
            page = read_page(connection, since, after, PAGE)
        yield from page.signals
        if page.next_after is None:
            return
        after = page.next_after
