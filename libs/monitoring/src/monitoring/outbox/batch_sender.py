"""Sends batches, and isolates by halving the payloads that the receiver rejects or fails on."""

import logging

from monitoring.metrics import Counters
from monitoring.outbox.backoff import Backoff
from monitoring.outbox.delivery_queue import DeliveryQueue, Entry
from monitoring.outbox.outcomes import Deliver, Delivered, Failed, Outcome, Rejected, Unavailable, Withheld

_log = logging.getLogger(__name__)

# A payload that fails alone is dropped after this many failures with deliveries of others between them.
MAX_FAILURES_ALONE = 3
# Tries before other payloads go first (15 s), so that an outage does not change the order.
TRIES_IN_ORDER = 5
# After this many failed tries of one round without a delivery, the receiver itself is broken.
MAX_MISSES = 16


class BatchSender:
    """Used by the worker thread alone; `name` is the prefix of the counters."""

    def __init__(
        self,
        name: str,
        queue: DeliveryQueue,
        backoff: Backoff,
        deliver: Deliver,
        counters: Counters,
        *,
        in_batches: bool,
    ) -> None:
        self._name = name
        self._queue = queue
        self._backoff = backoff
        self._deliver = deliver
        self._counters = counters
        self._in_batches = in_batches
        self._delivered = 0
        self._misses = 0

    def send(self, batch: list[Entry]) -> None:
        """Send claimed entries: they leave the queue, or wait for the next try."""
        self._misses = 0
        self._send(batch)

    def _send(self, batch: list[Entry]) -> bool:
        """Send, and isolate by halving what the receiver rejects; False when it is unavailable."""
        loaded = [(entry, entry.read()) for entry in batch]
        for entry, payload in loaded:
            if payload is None:
                self._queue.remove(entry)
        payloads = [payload for _, payload in loaded if payload is not None]
        present = [entry for entry, payload in loaded if payload is not None]
        return not payloads or self._judge(present, self._outcome(payloads))

    def _outcome(self, payloads: list[bytes]) -> Outcome:
        try:
            return self._deliver(payloads)
        except Exception as error:  # noqa: BLE001 - the worker must survive whatever a sink raises
            return Failed(f"{type(error).__name__}: {error}")

    def _judge(self, present: list[Entry], outcome: Outcome) -> bool:
        match outcome:
            case Delivered(rejected):
                for position, reason in rejected.items():
                    self._rejected(present[position], reason)
                self._succeeded([each for position, each in enumerate(present) if position not in rejected])
            case Rejected(reason) if len(present) == 1:
                self._rejected(present[0], reason)
            case Rejected():
                return self._send_halves(present)
            case Withheld():
                for entry in present:
                    self._queue.remove(entry)
            case Unavailable(reason, retry_after):
                self._failed(present, reason, retry_after)
                return False
            case Failed(reason):
                self._receiver_failed(present, reason)
        return True

    def _send_halves(self, batch: list[Entry]) -> bool:
        # One bad payload must not cause the loss of the others of its batch.
        middle = len(batch) // 2
        if not self._send(batch[:middle]):
            self._queue.unclaim(batch[middle:])
            return False
        return self._send(batch[middle:])

    def _receiver_failed(self, batch: list[Entry], reason: str) -> None:
        self._misses += 1
        head = batch[0]
        head.tries += 1
        if self._misses == 1 and head.tries < TRIES_IN_ORDER:
            self._failed(batch, reason, None)
        else:
            self._isolate(batch, reason)

    def _isolate(self, batch: list[Entry], reason: str) -> None:
        """Send halves of a batch that the receiver failed on, until one payload fails alone."""
        if len(batch) == 1:
            self._failed_alone(batch[0], reason)
        elif self._misses >= MAX_MISSES:
            self._failed(batch, reason, None)
        else:
            half = len(batch) // 2
            self._send(batch[:half])
            self._send(batch[half:])

    def _failed_alone(self, entry: Entry, reason: str) -> None:
        if entry.delivered_at_failure is not None and self._delivered > entry.delivered_at_failure:
            entry.failures += 1
        entry.delivered_at_failure = self._delivered
        if entry.failures >= MAX_FAILURES_ALONE:
            _log.warning("one of the %s is dropped, because only this one fails: %s", self._name, reason)
            self._queue.remove(entry)
            self._counters.add(f"{self._name}_rejected")
            return
        # Others go first from now on. Batches contain others anyway.
        if not self._in_batches:
            self._queue.move_to_end(entry)
        self._failed([entry], reason, None)

    def _succeeded(self, batch: list[Entry]) -> None:
        resent = sum(entry.waited for entry in batch)
        self._counters.add(f"{self._name}_delivered", len(batch))
        self._delivered += len(batch)
        self._misses = 0
        self._counters.add(f"{self._name}_resent", resent)
        for entry in batch:
            self._queue.remove(entry)
        with self._queue.changed:
            if self._backoff.is_failing:
                _log.info("%s are delivered again; %d are waiting", self._name, self._queue.ready)
            self._backoff.note_success()

    def _failed(self, batch: list[Entry], reason: str, retry_after: float | None) -> None:
        self._queue.unclaim(batch)
        with self._queue.changed:
            waiting = self._queue.mark_waited()
            if not self._backoff.is_failing:
                _log.warning("%s cannot be delivered and wait: %s", self._name, reason)
            self._backoff.note_failure(retry_after)
            self._queue.changed.notify_all()
        self._counters.add(f"{self._name}_spooled", waiting)

    def _rejected(self, entry: Entry, reason: str) -> None:
        _log.warning("%s of the %s was rejected for good: %s", entry.key, self._name, reason)
        self._queue.remove(entry)
        self._counters.add(f"{self._name}_rejected")
