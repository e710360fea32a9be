"""A consumer of one group: takes entries, hands them to a store, and acknowledges those that the store has."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from redis.exceptions import ResponseError

from feature_sync.connections import REDIS_ERRORS, RedisFaults
from feature_sync.events.entries import Entry, RawEntry, decode
from feature_sync.events.isolation import Fault, isolate
from feature_sync.events.log import LogUnavailableError
from feature_sync.events.rejection import Rejection
from feature_sync.events.stream import FIRST, ConsumerGroup
from feature_sync.events.suspects import Stage, Suspects
from servicekit.background import report_failure

_log = logging.getLogger(__name__)

# After a fault the queue can wait: the events are safe in the stream.
PAUSE_SECONDS = 1.0
# How often a consumer looks for entries of dead ones, and removes their names.
TAKEOVER_CHECK_SECONDS = 5.0


class EntryStore(Protocol):
    """What a group's entries are written to; an entry may be delivered twice, and has to count once."""

    stage: Stage

    async def store(self, entries: Sequence[Entry]) -> None:
        """Store all entries; what it raises, `fault_of` knows."""
        ...

    def fault_of(self, error: Exception) -> Fault:
        """Return whether the store or an entry is at fault."""
        ...

    async def takes_others(self, error: Exception, others_stored: bool) -> bool:
        """Return whether the store accepts other entries, so that an entry which failed alone is at fault."""
        ...


class GroupConsumer:
    """Runs one group. An entry that cannot be processed is isolated, and becomes a dead letter."""

    def __init__(
        self,
        group: ConsumerGroup,
        store: EntryStore,
        rejection: Rejection,
        *,
        faults: RedisFaults,
        suspects: Suspects | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group = group
        self._store = store
        self._rejection = rejection
        self._faults = faults
        self._suspects = Suspects() if suspects is None else suspects
        self._sleep = sleep
        self._clock = clock
        self._prepared = False
        # After a restart or a fault, the entries that this consumer has taken come first. They are read up to here.
        self._unfinished: bytes | None = FIRST
        self._checked_at = -TAKEOVER_CHECK_SECONDS

    async def step(self) -> None:
        """Process a batch; wait up to a second for one. After a fault of a store, wait a little."""
        try:
            with self._faults.report_faults():
                await self._step()
        except ResponseError as error:
            if str(error).startswith("NOGROUP"):
                _log.warning("a consumer group of the event stream is missing and is created again")
            await self._start_again()
        except (*REDIS_ERRORS, LogUnavailableError):
            await self._start_again()
        except BaseException:
            self._unfinished = FIRST
            raise

    async def _start_again(self) -> None:
        self._prepared, self._unfinished = False, FIRST
        await self._sleep(PAUSE_SECONDS)

    async def _step(self) -> None:
        if not self._prepared:
            await self._group.prepare()
            self._prepared = True
        await self._retry_suspects()
        await self._process(await self._next())
        self._rejection.findings.note_progress()

    async def _next(self) -> list[RawEntry]:
        if self._unfinished is not None:
            taken = await self._group.pending(self._unfinished)
            self._unfinished = taken[-1][0] if taken else None
            # New entries give evidence about an entry that fails alone, and don't wait for it.
            return [*taken, *await self._group.take(wait=False)]
        if self._clock() - self._checked_at >= TAKEOVER_CHECK_SECONDS:
            claimed = await self._group.claim()
            if claimed:
                return claimed
            self._checked_at = self._clock()
            await self._group.remove_dead_consumers()
        return await self._group.take()

    async def _process(self, taken: Sequence[RawEntry]) -> None:
        if not taken:
            return
        decoded = decode(taken)
        if decoded.deleted:
            _log.warning("%d stream entries were deleted before they were processed", len(decoded.deleted))
            await self._group.done(decoded.deleted)
            self._rejection.note_deleted(len(decoded.deleted))
        await self._rejection.reject(self._group, decoded.unreadable)
        await self._write([entry for entry in decoded.entries if not self._suspects.knows(entry.id)])

    async def _write(self, entries: Sequence[Entry]) -> None:
        """Write entries and acknowledge them; those that fail alone become suspects."""
        written = await isolate(
            entries, self._store.store, fault_of=self._store.fault_of, takes_others=self._store.takes_others
        )
        done = [entry.id for entry in written.done]
        await self._group.done(done)
        self._suspects.clear(done)
        given_up = self._suspects.count(self._store.stage, written.failed)
        await self._rejection.reject(self._group, given_up)
        self._suspects.clear(letter.id for letter in given_up)
        self._rejection.note_suspects(self._store.stage, len(self._suspects))

    async def _retry_suspects(self) -> None:
        due = self._suspects.due()
        if not due:
            return
        try:
            await self._write(due)
        except (*REDIS_ERRORS, LogUnavailableError):
            raise
        except Exception as error:  # noqa: BLE001 - it may be any error, but it must not hold up other entries
            self._suspects.postpone(due)
            report_failure(self._store.stage, error)
