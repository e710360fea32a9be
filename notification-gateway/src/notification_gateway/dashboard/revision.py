"""Notifies open pages that their content has changed."""

import asyncio
from collections.abc import AsyncIterator, Callable

from sqlalchemy import func, select

from notification_gateway.storage import Storage
from notification_gateway.tables import digests, incident_changes, incidents, notifications, silences

POLL_SECONDS = 1.0
# The metrics of other services change without a change in the database.
REFRESH_SECONDS = 15.0
MAX_PAGES = 100


class TooManyPagesError(Exception):
    """The maximum number of pages is open: this one gets no updates."""


class Revisions:
    """Polls the database once a second for all open pages, while at least one is open."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._pages = 0
        self._poll: asyncio.Task[str] | None = None

    async def changes(self, is_stopping: Callable[[], bool]) -> AsyncIterator[bool]:
        """Yield False at the start, then True for each change and at least every 15 s, until the service stops."""
        if self._pages >= MAX_PAGES:
            raise TooManyPagesError
        self._pages += 1
        try:
            sent, waited = await self._current(), 0.0
            yield False
            while not is_stopping():
                await asyncio.sleep(POLL_SECONDS)
                waited += POLL_SECONDS
                current = await self._current()
                if current != sent or waited >= REFRESH_SECONDS:
                    sent, waited = current, 0.0
                    yield True
        finally:
            self._pages -= 1

    async def _current(self) -> str:
        if self._poll is None:
            self._poll = asyncio.create_task(asyncio.to_thread(self._read_revision))
            self._poll.add_done_callback(self._poll_done)
        return await asyncio.shield(self._poll)

    def _poll_done(self, _task: object) -> None:
        self._poll = None

    def _read_revision(self) -> str:
        with self._storage.read() as connection:
            row = connection.execute(
                select(
                    select(func.sum(incidents.c.signals)).scalar_subquery(),
                    select(func.count(incidents.c.acknowledged_at)).scalar_subquery(),
                    select(func.count(incidents.c.resolved_at)).scalar_subquery(),
                    select(func.max(incident_changes.c.id)).scalar_subquery(),
                    select(func.max(notifications.c.id)).scalar_subquery(),
                    select(func.count(notifications.c.sent_at)).scalar_subquery(),
                    select(func.count()).select_from(digests).scalar_subquery(),
                    select(func.count()).select_from(silences).scalar_subquery(),
                )
            ).one()
        return repr(tuple(row))
