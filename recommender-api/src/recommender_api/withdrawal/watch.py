"""Follows the list of withdrawn datasets in Redis; the last known list applies until a newer one is read."""

import asyncio
import logging
import time
from collections.abc import Callable

from contracts import redis_keys
from contracts.withdrawn import HEAD_BYTES, MalformedListError, WithdrawnList
from recommender_api.redis_store import GuardedStore, StoreError
from recommender_api.withdrawal.datasets import NOTHING_WITHDRAWN, Withdrawn
from recommender_api.withdrawal.file import WithdrawnFile
from servicekit.health import Check

_log = logging.getLogger(__name__)

# Polls of a second each; a busy Redis may fail some.
CONFIRMED_WITHIN_SECONDS = 30.0


class WithdrawnWatch:
    """`current` is replaced as a whole. A missing, older or damaged list in Redis changes nothing."""

    def __init__(self, store: GuardedStore, file: WithdrawnFile, clock: Callable[[], float] = time.time) -> None:
        self.current = NOTHING_WITHDRAWN
        self._store = store
        self._file = file
        self._clock = clock
        self._confirmed_at = clock()
        self._head = b""
        # The head of a list in Redis that was rejected, and the reason.
        self._refused = b""
        self._complaint: str | None = None
        self._unsaved: bytes | None = None

    @property
    def age(self) -> float:
        """Seconds since Redis confirmed the list; before that, since the list was saved or the process began."""
        return max(self._clock() - self._confirmed_at, 0.0)

    def check(self) -> Check:
        """Return the state for /health."""
        known = f"{len(self.current.ids)} datasets withdrawn"
        if self._complaint is not None:
            return Check(status="degraded", detail=f"{known}; {self._complaint}")
        if self.age > CONFIRMED_WITHIN_SECONDS:
            return Check(status="degraded", detail=f"{known}, last confirmed {self.age:.0f} s ago")
        if self._unsaved is not None:
            return Check(status="degraded", detail=f"{known}; the list can't be saved to the disk")
        return Check(status="healthy", detail=known)

    async def start(self) -> None:
        """Load the list from the disk, then a newer one from Redis."""
        try:
            saved = await asyncio.to_thread(self._file.load)
        except (MalformedListError, OSError) as error:
            _log.error("the saved list of withdrawn datasets can't be read: %s", error)
        else:
            if saved is not None:
                listed, self._confirmed_at = saved
                self._take(listed, Withdrawn(listed))
        await self.poll()

    async def poll(self) -> None:
        """Read the list if it has changed; the requests report a fault of Redis."""
        try:
            head = await self._store.read_head(redis_keys.WITHDRAWN, HEAD_BYTES)
            if head and head not in (self._head, self._refused):
                (data,) = await self._store.read([redis_keys.WITHDRAWN])
                await self._examine(data or b"")
                head = (data or b"")[:HEAD_BYTES]
        except StoreError:
            return
        if not head:
            self._complaint = "Redis has no list of withdrawn datasets: feature-sync writes it"
        elif head == self._head:
            self._complaint = None
            self._confirmed_at = self._clock()
        await self._save()

    async def _examine(self, data: bytes) -> None:
        """Use the list in Redis if it is complete and newer than the current one."""
        if not data:
            return
        try:
            listed = WithdrawnList.unpack(data)
        except MalformedListError as error:
            self._refuse(data, "the list of withdrawn datasets in Redis is damaged")
            self._store.undecodable(error, redis_keys.WITHDRAWN)
            return
        if self._head and listed.sequence < self.current.sequence:
            self._refuse(data, "Redis has an older list of withdrawn datasets")
            return
        # A long list takes some milliseconds.
        self._take(listed, await asyncio.to_thread(Withdrawn, listed))
        self._unsaved = data

    def _take(self, listed: WithdrawnList, withdrawn: Withdrawn) -> None:
        self.current = withdrawn
        self._head = listed.pack()[:HEAD_BYTES]
        self._refused = b""
        _log.info("%d datasets are withdrawn", len(withdrawn.ids))

    def _refuse(self, data: bytes, complaint: str) -> None:
        self._refused = data[:HEAD_BYTES]
        self._complaint = complaint
        _log.warning("%s; the %d known ones stay withdrawn", complaint, len(self.current.ids))

    async def _save(self) -> None:
        if self._unsaved is None:
            return
        try:
            await asyncio.to_thread(self._file.save, self._unsaved)
        except OSError as error:
            _log.warning("the list of withdrawn datasets can't be saved to the disk: %s", error)
        else:
            self._unsaved = None
