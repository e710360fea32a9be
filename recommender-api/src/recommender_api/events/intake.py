"""Accepts events: directly into the Redis Stream, or into the journal while Redis is unavailable or the stream full."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

import monitoring
from contracts.events import BehaviorEvent, EventReceipt, FieldFault, RefusedEvent
from contracts.moments import CLOCK_AHEAD, EARLIEST_EVENT, UnusableMomentError, check_between
from recommender_api.events.journal import Journal, JournalError
from recommender_api.metrics import Metrics
from recommender_api.redis_store import GuardedStore, NewEvent, StoreError, StreamFullError

REPLAY_INTERVAL_SECONDS = 0.25
# About a thousand events, which fit into the budget of one call.
REPLAY_BYTES = 256 * 1024


# Whether a dataset is in the catalogue of a model in service; None while there is no model.
KnowsDataset = Callable[[int], bool | None]


class Taken(NamedTuple):
    """The result of a batch: the receipt of the accepted events, and the positions and faults of the rejected ones."""

    receipt: EventReceipt
    refused: list[tuple[int, tuple[FieldFault, ...]]]


class EventIntake:
    """An event is on the disk of Redis or of this machine once `take` has returned its receipt."""

    def __init__(
        self,
        store: GuardedStore,
        background: GuardedStore,
        journal: Journal,
        metrics: Metrics,
        *,
        knows_dataset: KnowsDataset = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._background = background
        self._journal = journal
        self._metrics = metrics
        self._knows_dataset = knows_dataset
        self._now = now
        # Whether events wait only because the stream has its maximum size.
        self.stream_full = False
        # Held while the journal's file is written or truncated, but never during a call to Redis.
        self._lock = asyncio.Lock()

    async def take(self, events: Sequence[BehaviorEvent | RefusedEvent]) -> Taken:
        """Store the valid events durably and count the new ones; raises `JournalError` if that is not possible now."""
        good, refused = self._sort(events)
        receipt = await self._keep(good) if good else EventReceipt(accepted=0, duplicates=0)
        for _, faults in refused:
            self._metrics.event_refused(faults[0].reason)
        return Taken(receipt, refused)

    def _sort(
        self, events: Sequence[BehaviorEvent | RefusedEvent]
    ) -> tuple[list[BehaviorEvent], list[tuple[int, tuple[FieldFault, ...]]]]:
        latest = self._now() + CLOCK_AHEAD
        good: list[BehaviorEvent] = []
        refused: list[tuple[int, tuple[FieldFault, ...]]] = []
        for index, event in enumerate(events):
            if isinstance(event, RefusedEvent):
                refused.append((index, event.faults))
                continue
            try:
                check_between(event.ts, EARLIEST_EVENT, latest)
            except UnusableMomentError as error:
                refused.append((index, (FieldFault("ts", str(error), "ts"),)))
            else:
                good.append(event)
        return good, refused

    async def _keep(self, events: Sequence[BehaviorEvent]) -> EventReceipt:
        fresh = {event.event_id: NewEvent(event.event_id, event.to_stream()["event"].encode()) for event in events}
        try:
            accepted = await self._add(list(fresh.values()))
        except JournalError:
            self._metrics.events("refused", len(events))
            raise
        self._metrics.events("accepted", accepted)
        self._metrics.events("duplicate", len(events) - accepted)
        self._metrics.unknown_datasets(sum(self._knows_dataset(event.dataset_id) is False for event in events))
        return EventReceipt(accepted=accepted, duplicates=len(events) - accepted)

    async def replay(self) -> None:
        """Move waiting events to Redis, oldest first, as many as Redis accepts; raises `OSError`."""
        while self._journal.waiting_bytes and not self._background.breaker.is_open:
            events, offset = await asyncio.to_thread(self._journal.next, REPLAY_BYTES)
            if events:
                try:
                    await self._background.add_events(events)
                except StoreError as error:
                    self.stream_full = isinstance(error, StreamFullError)
                    return
                self.stream_full = False
            async with self._lock:
                await asyncio.to_thread(self._journal.mark_replayed, offset)
            self._metrics.events("replayed", len(events))

    async def _add(self, events: list[NewEvent]) -> int:
        # While older events wait, newer ones are queued after them: the stream keeps the order of arrival.
        if not self._journal.waiting_bytes:
            try:
                added = await self._store.add_events(events)
            except StoreError as error:
                self.stream_full = isinstance(error, StreamFullError)
                monitoring.breadcrumb("events go to the journal", category="events", error=str(error))
            else:
                self.stream_full = False
                return added
        waiting = [_received(event, self._now()) for event in events]
        async with self._lock:
            added = await asyncio.to_thread(self._journal.append, waiting)
        self._metrics.events("journaled", added)
        return added


def _received(event: NewEvent, at: datetime) -> NewEvent:
    """Return the event with the moment of its receipt: the stream's own time will be that of the replay."""
    return NewEvent(event.event_id, orjson.dumps({**orjson.loads(event.body), "received_at": at}))
