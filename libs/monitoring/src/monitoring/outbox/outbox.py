"""The worker thread that delivers what waits, and the calls of who puts something in."""

import logging
import threading
import time
from collections.abc import Callable

from monitoring.metrics import Counters
from monitoring.outbox.backoff import FIRST_RETRY_SECONDS, Backoff
from monitoring.outbox.batch_sender import BatchSender
from monitoring.outbox.delivery_queue import DeliveryQueue, Entry
from monitoring.outbox.outcomes import Deliver
from monitoring.store import Store

_log = logging.getLogger(__name__)

# How often the store is asked for what dead processes left, and ages are checked.
HOUSEKEEPING_SECONDS = 15.0


class Outbox:
    """Bounded by bytes and age. Beyond either bound the oldest are dropped and counted, and `on_dropped` is called.

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
        self._counters = counters
        self._batch = batch
        self._queue = DeliveryQueue(name, store, max_bytes=max_bytes, max_age=max_age, now=now)
        # Its lock is the queue's: the worker waits for both.
        self._backoff = Backoff()
        self._sender = BatchSender(name, self._queue, self._backoff, deliver, counters, in_batches=batch > 1)
        self._on_dropped: Callable[[], None] | None = None
        self._next_housekeeping = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self, on_dropped: Callable[[], None] | None = None) -> None:
        """Start the worker, which first adopts what dead processes left. `on_dropped` is called at every loss."""
        self._on_dropped = on_dropped
        self._thread = threading.Thread(target=self._run, name=f"monitoring-{self._name}", daemon=True)
        self._thread.start()

    def write_ahead(self, key: str, payload: bytes) -> None:
        """Store a payload that is sent only after `put` or `commit` with the same key."""
        self._queue.write_ahead(key, payload)
        self._enforce_bounds()

    def put(self, key: str, payload: bytes) -> None:
        """Store a payload (in place of one that was written ahead with that key) and have it delivered."""
        self._queue.put(key, payload)
        self._enforce_bounds()

    def commit(self, key: str) -> None:
        """Have a payload that was written ahead delivered as it is; nothing happens if there is none."""
        self._queue.commit(key)

    def discard(self, key: str) -> None:
        """Delete a payload that was written ahead; nothing happens if there is none."""
        self._queue.discard(key)

    def waiting(self) -> int:
        """Return how many payloads wait for delivery."""
        return self._queue.waiting

    def flush(self, timeout: float) -> bool:
        """Try immediately and wait until all is delivered; False after `timeout` (s), or when the rest is on disk."""
        deadline = time.monotonic() + timeout
        with self._queue.changed:
            failures = self._backoff.failures
            self._backoff.retry_now()
            self._queue.changed.notify_all()
            while self._queue.ready:
                left = deadline - time.monotonic()
                if left <= 0 or (self._backoff.failures != failures and self._queue.is_durable):
                    return False
                self._queue.changed.wait(left)
            return True

    def close(self, timeout: float) -> None:
        """Flush, stop the worker and close the store; another process delivers what is durable."""
        self.flush(timeout)
        with self._queue.changed:
            self._closing = True
            self._queue.changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        if lost := self._queue.volatile:
            self._counters.add(f"{self._name}_dropped", lost)
            _log.warning("%d %s were not delivered and are lost: there is no spool (SPOOL_DIR)", lost, self._name)
        self._queue.close()

    def abandon(self) -> None:
        """In a forked child: drop references to what belongs to the parent."""
        self._queue.abandon()

    def _run(self) -> None:
        while not self._closing:
            try:
                self._step()
            except Exception:  # noqa: BLE001 - without its thread, nothing would be delivered any more
                _log.exception("the delivery of %s failed and is tried again", self._name)
                with self._queue.changed:
                    self._queue.changed.wait(FIRST_RETRY_SECONDS)

    def _step(self) -> None:
        if time.monotonic() >= self._next_housekeeping:
            self._next_housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS
            self._queue.adopt()
            self._enforce_bounds()
        batch = self._next_batch(self._next_housekeeping)
        if batch:
            self._sender.send(batch)

    def _next_batch(self, wake_at: float) -> list[Entry] | None:
        """Wait for work; an empty list when there is none until `wake_at`, None when closing."""
        with self._queue.changed:
            while not self._closing:
                now = time.monotonic()
                is_ready = self._queue.ready > 0
                if is_ready and now >= self._backoff.retry_at:
                    return self._queue.claim(self._batch)
                until = min(wake_at, self._backoff.retry_at) if is_ready else wake_at
                if until <= now:
                    return []
                self._queue.changed.wait(until - now)
            return None

    def _enforce_bounds(self) -> None:
        if dropped := self._queue.drop_excess():
            self._counters.add(f"{self._name}_dropped", dropped)
            if self._on_dropped is not None:
                self._on_dropped()
