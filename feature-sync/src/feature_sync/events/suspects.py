"""Entries that failed alone: each is retried a few times, and then becomes a dead letter."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from feature_sync.events.entries import DeadLetter, Entry, reason_of

# A temporary cause (a constraint that is being changed) has passed by then.
MAX_DELIVERIES = 3
RETRY_SECONDS = 1.0
POSTPONED_SECONDS = 30.0

Stage = Literal["live features", "event log"]


@dataclass
class Suspect:
    """An entry that failed this many times; it is not retried before `retry_at`."""

    entry: Entry
    deliveries: int
    retry_at: float


class Suspects:
    """Of one group. Counted in memory: a worker that is killed starts counting again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_id: dict[bytes, Suspect] = {}

    def knows(self, entry_id: bytes) -> bool:
        """Return whether an entry has failed before."""
        return entry_id in self._by_id

    def due(self) -> list[Entry]:
        """Return the entries that may be tried again now."""
        now = self._clock()
        return [suspect.entry for suspect in self._by_id.values() if now >= suspect.retry_at]

    def count(self, stage: Stage, failed: Iterable[tuple[Entry, Exception]]) -> list[DeadLetter]:
        """Count a delivery of each; return those that have failed too often."""
        given_up = []
        for entry, error in failed:
            before = self._by_id.get(entry.id)
            deliveries = 1 + (before.deliveries if before is not None else 0)
            self._by_id[entry.id] = Suspect(entry, deliveries, self._clock() + RETRY_SECONDS)
            if deliveries >= MAX_DELIVERIES:
                given_up.append(DeadLetter(entry.id, entry.fields, reason_of(stage, error)))
        return given_up

    def postpone(self, entries: Iterable[Entry]) -> None:
        """Retry suspects later; nothing is counted."""
        for entry in entries:
            if (suspect := self._by_id.get(entry.id)) is not None:
                suspect.retry_at = self._clock() + POSTPONED_SECONDS

    def clear(self, ids: Iterable[bytes]) -> None:
        """Forget entries that are done."""
        for each in ids:
            self._by_id.pop(each, None)

    def __len__(self) -> int:
        return len(self._by_id)
