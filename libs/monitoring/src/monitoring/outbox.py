"""An outbox: what is put in is delivered by a worker thread, waits while the other side is down, and stays bounded."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from monitoring.metrics import Counters
from monitoring.store import Item, MemoryStore, Store

_log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.5
# Short enough that a collector which is back is found at once, long enough to be no load.
MAX_RETRY_SECONDS = 10.0
MAX_RETRY_AFTER_SECONDS = 300.0
# A payload that fails alone is given up when so many deliveries of others lie between its failures.
MAX_FAILURES_ALONE = 3
# An outage must not change the order of what waits: others go first after so many tries (15 s).
TRIES_IN_ORDER = 5
# When so many tries of one round have failed and none was taken, the other side is broken altogether.
MAX_MISSES = 16
# How often the store is asked for what dead processes left, and ages are checked.
HOUSEKEEPING_SECONDS = 15.0
# Of the time that a stored name begins with, in microseconds.
STAMP_DIGITS = 17


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other side has it, except the payloads whose positions are in `rejected`, each with its reason."""

    rejected: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The other side will never take it: sending again is no use."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Not now; `retry_after` (s) is what the other side asked for."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The other side broke over it: it may be the payload's fault, or that side may be broken altogether."""

    reason: str


Outcome = Delivered | Rejected | Unavailable | Failed


class Deliver(Protocol):
    """Sends payloads in one go; returns what the other side or the network did."""

    def __call__(self, payloads: Sequence[bytes], /) -> Outcome:
        """Return what happened."""
        ...


@dataclass(slots=True)
class _Entry:
    item: Item
    store: Store
    waited: bool = False
    in_flight: bool = False
    # How often it failed, how often alone although others were delivered, and how many were when it did last.
    tries: int = 0
    failures: int = 0
    delivered_at_failure: int | None = None


class Outbox:
    """Bounded by bytes and age: past either the oldest are dropped, counted and told to the callback of `start()`.

    `name` is the prefix of the counters and of the thread. Times are wall-clock seconds, because what waits may be
    older than this process.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        deliver: Deliver,
        counters: Counters,
        *,
        batch: int = 1,
        max_bytes: int = 64 * 2**20,
        max_age: float = 7 * 86400.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._store = store
        self._memory = MemoryStore()
        self._deliver = deliver
        self._counters = counters
        self._batch = batch
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._on_dropped: Callable[[], None] | None = None
        self._now = now
        self._changed = threading.Condition()
        # Oldest first. Held ones are stored, but not to be sent yet.
        self._held: OrderedDict[str, _Entry] = OrderedDict()
        self._ready: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._stamp = 0
        self._retry_at = 0.0
        self._delay = 0.0
        self._failures = 0
        self._delivered = 0
        self._misses = 0
        self._next_housekeeping = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self, on_dropped: Callable[[], None] | None = None) -> None:
        """Start the worker; what dead processes left is taken up first. `on_dropped` hears of every loss."""
        self._on_dropped = on_dropped
        self._thread = threading.Thread(target=self._run, name=f"monitoring-{self._name}", daemon=True)
        self._thread.start()

    def hold(self, key: str, payload: bytes) -> None:
        """Store a payload ahead of its delivery; `put` or `release` with the same key lets it go."""
        entry = self._stored(key, payload)
        with self._changed:
            self._held[key] = entry
            self._bytes += entry.item.size
        self._enforce_bounds()

    def put(self, key: str, payload: bytes) -> None:
        """Store a payload (in place of a held one of that key) and have it delivered."""
        with self._changed:
            held = self._held.get(key)
        entry = self._stored(key, payload, held)
        with self._changed:
            for before in (self._held.pop(key, None), self._ready.pop(key, None)):
                self._bytes -= 0 if before is None else before.item.size
            self._ready[key] = entry
            self._bytes += entry.item.size
            self._changed.notify_all()
        self._enforce_bounds()

    def release(self, key: str) -> None:
        """Have a held payload delivered as it is; nothing happens if there is none."""
        with self._changed:
            held = self._held.pop(key, None)
            if held is not None:
                self._ready[key] = held
                self._changed.notify_all()

    def waiting(self) -> int:
        """Return how many payloads wait for delivery."""
        with self._changed:
            return len(self._held) + len(self._ready)

    def flush(self, timeout: float) -> bool:
        """Try at once and wait until all is delivered; False after `timeout` (s), or when the rest is safe on disk."""
        deadline = time.monotonic() + timeout
        with self._changed:
            failures = self._failures
            self._retry_at = 0.0
            self._changed.notify_all()
            while self._ready:
                left = deadline - time.monotonic()
                if left <= 0 or (self._failures != failures and self._store.durable and self._memory.empty):
                    return False
                self._changed.wait(left)
            return True

    def close(self, timeout: float) -> None:
        """Flush, stop the worker and let the store go; what is durable is delivered by another process."""
        self.flush(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        with self._changed:
            lost = sum(not entry.store.durable for entry in (*self._held.values(), *self._ready.values()))
        if lost:
            self._counters.add(f"{self._name}_dropped", lost)
            _log.warning("%d %s were not delivered and are lost: there is no spool (SPOOL_DIR)", lost, self._name)
        self._store.close()

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent."""
        self._store.abandon()

    def _next_stamp(self) -> int:
        # Names sort by age, and no two are of one age: order outlives the process.
        with self._changed:
            self._stamp = max(self._stamp + 1, int(self._now() * 1e6))
            return self._stamp

    def _stored(self, key: str, payload: bytes, held: _Entry | None = None) -> _Entry:
        name = held.item.name if held is not None else f"{self._next_stamp():0{STAMP_DIGITS}d}-{key}"
        try:
            self._store.write(name, payload)
        except OSError as error:
            # A full or broken disk must not stop the delivery: memory is the next best.
            _log.warning("%s cannot be spooled (%s); they wait in memory", self._name, error)
            self._memory.write(name, payload)
            return _Entry(Item(name, len(payload)), self._memory)
        return _Entry(Item(name, len(payload)), self._store)

    def _run(self) -> None:
        while not self._closing:
            try:
                self._step()
            except Exception:  # noqa: BLE001 - without its thread, nothing would be delivered any more
                _log.exception("the delivery of %s broke off and goes on", self._name)
                with self._changed:
                    self._changed.wait(FIRST_RETRY_SECONDS)

    def _step(self) -> None:
        if time.monotonic() >= self._next_housekeeping:
            self._next_housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS
            self._adopt()
            self._enforce_bounds()
        batch = self._next_batch(self._next_housekeeping)
        if batch:
            self._misses = 0
            self._send(batch)

    def _next_batch(self, wake_at: float) -> list[tuple[str, _Entry]] | None:
        """Wait for work; an empty list when there is none until `wake_at`, None when closing."""
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                if self._ready and now >= self._retry_at:
                    keys = list(self._ready)[: self._batch] if self._batch > 1 else [next(iter(self._ready))]
                    return [(key, self._claimed(key)) for key in keys]
                until = wake_at if not self._ready else min(wake_at, self._retry_at)
                if until <= now:
                    return []
                self._changed.wait(until - now)
            return None

    def _claimed(self, key: str) -> _Entry:
        entry = self._ready[key]
        entry.in_flight = True
        return entry

    def _send(self, batch: list[tuple[str, _Entry]]) -> bool:
        """Send, and isolate by halving what the other side rejects; False when it is unavailable."""
        loaded = [(key, entry, entry.store.read(entry.item.name)) for key, entry in batch]
        for key, entry, payload in loaded:
            if payload is None:
                self._forget(key, entry)
        payloads = [payload for _, _, payload in loaded if payload is not None]
        present = [(key, entry) for key, entry, payload in loaded if payload is not None]
        return not payloads or self._judge(present, self._outcome(payloads))

    def _judge(self, present: list[tuple[str, _Entry]], outcome: Outcome) -> bool:
        match outcome:
            case Delivered(rejected):
                for position, reason in rejected.items():
                    self._rejected(*present[position], reason)
                self._succeeded([each for position, each in enumerate(present) if position not in rejected])
            case Rejected(reason) if len(present) == 1:
                self._rejected(*present[0], reason)
            case Rejected():
                return self._send_halves(present)
            case Unavailable(reason, retry_after):
                self._failed(present, reason, retry_after)
                return False
            case Failed(reason):
                self._broke(present, reason)
        return True

    def _send_halves(self, batch: list[tuple[str, _Entry]]) -> bool:
        # One bad payload must not take the others of its batch with it.
        middle = len(batch) // 2
        if not self._send(batch[:middle]):
            self._let_go(batch[middle:])
            return False
        return self._send(batch[middle:])

    def _broke(self, batch: list[tuple[str, _Entry]], reason: str) -> None:
        self._misses += 1
        head = batch[0][1]
        head.tries += 1
        if self._misses == 1 and head.tries < TRIES_IN_ORDER:
            self._failed(batch, reason, None)
        else:
            self._isolate(batch, reason)

    def _isolate(self, batch: list[tuple[str, _Entry]], reason: str) -> None:
        """Send halves of a batch that the other side broke over, until one that fails alone is found."""
        if len(batch) == 1:
            self._failed_alone(*batch[0], reason)
        elif self._misses >= MAX_MISSES:
            self._failed(batch, reason, None)
        else:
            half = len(batch) // 2
            self._send(batch[:half])
            self._send(batch[half:])

    def _failed_alone(self, key: str, entry: _Entry, reason: str) -> None:
        if entry.delivered_at_failure is not None and self._delivered > entry.delivered_at_failure:
            entry.failures += 1
        entry.delivered_at_failure = self._delivered
        if entry.failures >= MAX_FAILURES_ALONE:
            _log.warning("one of the %s is given up, others are taken: %s", self._name, reason)
            self._forget(key, entry)
            self._counters.add(f"{self._name}_rejected")
            return
        with self._changed:
            # Others go first from now on; in batches they are sent beside it.
            if self._batch == 1 and key in self._ready:
                self._ready.move_to_end(key)
        self._failed([(key, entry)], reason, None)

    def _outcome(self, payloads: list[bytes]) -> Outcome:
        try:
            return self._deliver(payloads)
        except Exception as error:  # noqa: BLE001 - the worker must survive whatever a sink raises
            return Failed(f"{type(error).__name__}: {error}")

    def _succeeded(self, batch: list[tuple[str, _Entry]]) -> None:
        resent = sum(entry.waited for _, entry in batch)
        self._counters.add(f"{self._name}_delivered", len(batch))
        self._delivered += len(batch)
        self._misses = 0
        self._counters.add(f"{self._name}_resent", resent)
        for key, entry in batch:
            self._forget(key, entry)
        with self._changed:
            if self._delay:
                _log.info("%s are delivered again; %d are waiting", self._name, len(self._ready))
            self._delay = self._retry_at = 0.0

    def _failed(self, batch: list[tuple[str, _Entry]], reason: str, retry_after: float | None) -> None:
        self._let_go(batch)
        with self._changed:
            waiting = [entry for entry in self._ready.values() if not entry.waited]
            for entry in waiting:
                entry.waited = True
            if not self._delay:
                _log.warning("%s cannot be delivered and wait: %s", self._name, reason)
            self._delay = min(MAX_RETRY_SECONDS, self._delay * 2 or FIRST_RETRY_SECONDS)
            pause = self._delay if retry_after is None else min(retry_after, MAX_RETRY_AFTER_SECONDS)
            self._retry_at = time.monotonic() + pause
            self._failures += 1
            self._changed.notify_all()
        self._counters.add(f"{self._name}_spooled", len(waiting))

    def _rejected(self, key: str, entry: _Entry, reason: str) -> None:
        _log.warning("%s of the %s was rejected for good: %s", key, self._name, reason)
        self._forget(key, entry)
        self._counters.add(f"{self._name}_rejected")

    def _let_go(self, batch: list[tuple[str, _Entry]]) -> None:
        with self._changed:
            for _, entry in batch:
                entry.in_flight = False

    def _forget(self, key: str, entry: _Entry) -> None:
        entry.store.remove(entry.item.name)
        with self._changed:
            if self._ready.pop(key, None) is not None:
                self._bytes -= entry.item.size
            self._changed.notify_all()

    def _adopt(self) -> None:
        try:
            adopted = self._store.adopt()
        except OSError as error:
            _log.warning("the spool of %s cannot be searched for what other processes left: %s", self._name, error)
            return
        with self._changed:
            for item in reversed(adopted):
                key = item.name.partition("-")[2]
                self._ready[key] = _Entry(item, self._store, waited=True)
                self._ready.move_to_end(key, last=False)
                self._bytes += item.size

    def _enforce_bounds(self) -> None:
        oldest_allowed = self._now() - self._max_age
        dropped = []
        with self._changed:
            # What is being sent just now is as good as delivered, and the sender forgets it itself.
            droppable = ((key, entry) for key, entry in self._ready.items() if not entry.in_flight)
            for key, entry in droppable:
                if self._bytes <= self._max_bytes and _created(entry) >= oldest_allowed:
                    break
                self._bytes -= entry.item.size
                dropped.append((key, entry))
            for key, _ in dropped:
                del self._ready[key]
            self._changed.notify_all()
        for _, entry in dropped:
            entry.store.remove(entry.item.name)
        if dropped:
            self._counters.add(f"{self._name}_dropped", len(dropped))
            if self._on_dropped is not None:
                self._on_dropped()


def _created(entry: _Entry) -> float:
    stamp = entry.item.name.partition("-")[0]
    return int(stamp) / 1e6 if stamp.isascii() and stamp.isdigit() and len(stamp) <= STAMP_DIGITS else 0.0
