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
    """An entry that failed in `stage` this many times; it is not retried before `retry_at`."""

    stage: Stage
    deliveries: int
    retry_at: float


class Suspects:
    """Counted in memory: a worker that is killed starts counting again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_id: dict[bytes, Suspect] = {}

    def is_due(self, entry: Entry) -> bool:
        """Whether an entry may be tried now; an entry without failures always may."""
        suspect = self._by_id.get(entry.id)
        return suspect is None or self._clock() >= suspect.retry_at

    def failed_in(self, entry: Entry, stage: Stage) -> bool:
        """Whether an entry failed in this stage before."""
        suspect = self._by_id.get(entry.id)
        return suspect is not None and suspect.stage == stage

    def count(self, stage: Stage, failed: Iterable[tuple[Entry, Exception]]) -> list[DeadLetter]:
        """Count a delivery of each; return those that have failed too often."""
        given_up = []
        for entry, error in failed:
            before = self._by_id.get(entry.id)
            deliveries = 1 + (before.deliveries if before is not None else 0)
            self._by_id[entry.id] = Suspect(stage, deliveries, self._clock() + RETRY_SECONDS)
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
