"""What waits for delivery: stored, in order, written ahead or ready, and bounded by bytes and age."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from monitoring.store import Item, MemoryStore, Store

_log = logging.getLogger(__name__)

# Of the time that a stored name begins with, in microseconds.
STAMP_DIGITS = 17


@dataclass(slots=True)
class Entry:
    """A payload that waits, and where it is stored."""

    key: str
    item: Item
    store: Store
    waited: bool = False
    in_flight: bool = False
    # How often it failed, how often alone although others were delivered, and how many were when it did last.
    tries: int = 0
    failures: int = 0
    delivered_at_failure: int | None = None

    @property
    def created(self) -> float:
        """When it was put in, in wall-clock seconds; 0 if its name doesn't say."""
        stamp = self.item.name.partition("-")[0]
        return int(stamp) / 1e6 if stamp.isascii() and stamp.isdigit() and len(stamp) <= STAMP_DIGITS else 0.0

    def read(self) -> bytes | None:
        """Return the payload, or None if it is gone."""
        return self.store.read(self.item.name)


class DeliveryQueue:
    """Oldest first. `changed` is its lock, and is notified when there may be work or room.

    `name` is what waits, for the log. Times are wall-clock seconds, because what waits may be older than this process.
    """

    def __init__(self, name: str, store: Store, *, max_bytes: int, max_age: float, now: Callable[[], float]) -> None:
        self.changed = threading.Condition()
        self._name = name
        self._store = store
        self._memory = MemoryStore()
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._now = now
        # Stored, but not to be sent before they are committed.
        self._written_ahead: OrderedDict[str, Entry] = OrderedDict()
        self._ready: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0
        self._stamp = 0

    def write_ahead(self, key: str, payload: bytes) -> None:
        """Store a payload that is not to be sent before `commit` or `put`."""
        entry = self._store_payload(key, payload)
        with self.changed:
            self._written_ahead[key] = entry
            self._bytes += entry.item.size

    def put(self, key: str, payload: bytes) -> None:
        """Store a payload that is to be sent, in place of one of that key."""
        with self.changed:
            ahead = self._written_ahead.get(key)
        entry = self._store_payload(key, payload, ahead)
        with self.changed:
            for before in (self._written_ahead.pop(key, None), self._ready.pop(key, None)):
                self._bytes -= 0 if before is None else before.item.size
            self._ready[key] = entry
            self._bytes += entry.item.size
            self.changed.notify_all()

    def commit(self, key: str) -> None:
        """Have a payload that was written ahead sent as it is; nothing happens if there is none."""
        with self.changed:
            ahead = self._written_ahead.pop(key, None)
            if ahead is not None:
                self._ready[key] = ahead
                self.changed.notify_all()

    def discard(self, key: str) -> None:
        """Delete a payload that was written ahead; nothing happens if there is none."""
        with self.changed:
            ahead = self._written_ahead.pop(key, None)
            if ahead is None:
                return
            self._bytes -= ahead.item.size
            self.changed.notify_all()
        ahead.store.remove(ahead.item.name)

    def adopt(self) -> None:
        """Adopt what dead processes left, as the oldest entries."""
        try:
            adopted = self._store.adopt()
        except OSError as error:
            _log.warning("the spool of %s cannot be searched for what other processes left: %s", self._name, error)
            return
        with self.changed:
            for item in reversed(adopted):
                key = item.name.partition("-")[2]
                self._ready[key] = Entry(key, item, self._store, waited=True)
                self._ready.move_to_end(key, last=False)
                self._bytes += item.size

    def claim(self, batch: int) -> list[Entry]:
        """Return the oldest that are ready, marked as in flight."""
        with self.changed:
            keys = list(self._ready)[:batch] if batch > 1 else [next(iter(self._ready))]
            claimed = [self._ready[key] for key in keys]
            for entry in claimed:
                entry.in_flight = True
            return claimed

    def unclaim(self, entries: Iterable[Entry]) -> None:
        """Mark entries as no longer in flight."""
        with self.changed:
            for entry in entries:
                entry.in_flight = False

    def remove(self, entry: Entry) -> None:
        """Delete an entry that is delivered or given up."""
        entry.store.remove(entry.item.name)
        with self.changed:
            if self._ready.pop(entry.key, None) is not None:
                self._bytes -= entry.item.size
            self.changed.notify_all()

    def move_to_end(self, entry: Entry) -> None:
        """Move an entry behind all others."""
        with self.changed:
            if entry.key in self._ready:
                self._ready.move_to_end(entry.key)

    def drop_excess(self) -> int:
        """Drop the oldest beyond either bound; returns how many."""
        oldest_allowed = self._now() - self._max_age
        dropped = []
        with self.changed:
            # Entries in flight are not dropped: the sender removes them itself.
            droppable = (entry for entry in self._ready.values() if not entry.in_flight)
            for entry in droppable:
                if self._bytes <= self._max_bytes and entry.created >= oldest_allowed:
                    break
                self._bytes -= entry.item.size
                dropped.append(entry)
            for entry in dropped:
                del self._ready[entry.key]
            self.changed.notify_all()
        for entry in dropped:
            entry.store.remove(entry.item.name)
        return len(dropped)

    def mark_waited(self) -> int:
        """Mark all that are ready as having waited; returns how many are new to it."""
        with self.changed:
            waiting = [entry for entry in self._ready.values() if not entry.waited]
            for entry in waiting:
                entry.waited = True
            return len(waiting)

    @property
    def ready(self) -> int:
        """How many are to be sent."""
        with self.changed:
            return len(self._ready)

    @property
    def waiting(self) -> int:
        """How many there are, those written ahead included."""
        with self.changed:
            return len(self._written_ahead) + len(self._ready)

    @property
    def volatile(self) -> int:
        """How many would be lost with this process."""
        with self.changed:
            return sum(not entry.store.durable for entry in (*self._written_ahead.values(), *self._ready.values()))

    @property
    def is_durable(self) -> bool:
        """Whether everything that waits survives this process."""
        return self._store.durable and self._memory.empty

    def close(self) -> None:
        """Close the store: another process may adopt what is durable."""
        self._store.close()

    def abandon(self) -> None:
        """In a forked child: drop references to what belongs to the parent."""
        self._store.abandon()

    def _next_stamp(self) -> int:
        # Names sort by age, and no two are equal, so the order survives the process.
        with self.changed:
            self._stamp = max(self._stamp + 1, int(self._now() * 1e6))
            return self._stamp

    def _store_payload(self, key: str, payload: bytes, ahead: Entry | None = None) -> Entry:
        name = ahead.item.name if ahead is not None else f"{self._next_stamp():0{STAMP_DIGITS}d}-{key}"
        try:
            self._store.write(name, payload)
        except OSError as error:
            # A full or broken disk must not stop the delivery, so the payload stays in memory.
            _log.warning("%s cannot be spooled (%s); they wait in memory", self._name, error)
            self._memory.write(name, payload)
            return Entry(key, Item(name, len(payload)), self._memory)
        return Entry(key, Item(name, len(payload)), self._store)
