"""Tells open pages that there is something new to show."""

import asyncio
from collections.abc import AsyncIterator, Callable

from sqlalchemy import func, select

from notification_gateway.storage import Storage
from notification_gateway.tables import digests, incident_changes, incidents, notifications, silences

LOOK_SECONDS = 1.0
# What others measure goes on changing without us.
REFRESH_SECONDS = 15.0
MAX_PAGES = 100


class TooManyPagesError(Exception):
    """So many pages are open already: this one has to do without news."""


class Revisions:
    """Looks at the database once a second for all open pages together, and only while there is one."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._pages = 0
        self._looked: asyncio.Task[str] | None = None

    async def changes(self, is_over: Callable[[], bool]) -> AsyncIterator[bool]:
        """Yield True for a change, False from time to time, until it is over."""
        if self._pages >= MAX_PAGES:
            raise TooManyPagesError
        self._pages += 1
        try:
            shown, waited = await self._look(), 0.0
            yield False
            while not is_over():
                await asyncio.sleep(LOOK_SECONDS)
                waited += LOOK_SECONDS
                seen = await self._look()
                if seen != shown or waited >= REFRESH_SECONDS:
                    shown, waited = seen, 0.0
                    yield True
        finally:
            self._pages -= 1

    async def _look(self) -> str:
        if self._looked is None:
            self._looked = asyncio.create_task(asyncio.to_thread(self._read))
            self._looked.add_done_callback(self._forget)
        return await asyncio.shield(self._looked)

    def _forget(self, _done: object) -> None:
        self._looked = None

    def _read(self) -> str:
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
