"""Remembers requests after their answer, and hands them on in batches on a thread of its own."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from random import random

from monitoring.context import context_fields, current_request, request_notes
from monitoring.ended_requests.access_log import MAX_LINES_PER_SECOND, log_left_out, log_request
from monitoring.ended_requests.ended_request import EndedRequest
from monitoring.ended_requests.gateway_index import Delivery, GatewayIndex
from monitoring.metrics import Counters
from monitoring.requests import route_of

_log = logging.getLogger(__name__)

# Bounds of what goes to the gateway: in a window, and waiting for a gateway that doesn't answer.
MAX_PER_WINDOW = 20_000
WINDOW_SECONDS = 60.0
MAX_WAITING = 20_000
BATCH = 1000
# Alert signals leave at once, so the incident is there before its requests. One second of lines is written at once.
GATHER_SECONDS = 1.0
SEND_SECONDS = 5.0
MAX_PAUSE_SECONDS = 30.0
# Until a gateway without an index is asked again.
NO_INDEX_SECONDS = 600.0
_FAILED = 500
# Nobody looks for one of these, and `/ready` is 503 until a service has started.
_PROBES = frozenset({"/health", "/ready", "/metrics"})


class RequestRecorder:
    """Takes requests on the event loop's thread. `index` is None if there is no gateway.

    `share` is the share of healthy requests in the access log. `clock` is monotonic, `now` is Unix time.
    """

    def __init__(
        self,
        index: GatewayIndex | None,
        counters: Counters,
        share: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._index = index
        self._counters = counters
        self._share = share
        self._clock = clock
        self._now = now
        self._window_end = 0.0
        self._in_window = 0
        self._waiting: deque[EndedRequest] = deque()
        self._lines: deque[EndedRequest] = deque()
        # Since the last batch that was taken, and since the last line.
        self._left_out = 0
        self._without_line = 0
        self._failures = 0
        self._next_try = 0.0
        # Of what is above; the other is held while a batch is delivered.
        self._lock = threading.Lock()
        self._delivering = threading.Lock()
        self._has_work = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitoring-requests", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def note(self, status: int, seconds: float) -> None:
        """Remember the current request, if it is degraded or failed, or in the share of healthy ones."""
        outcome, fired = request_notes()
        is_healthy = outcome is None and status < _FAILED
        if is_healthy and random() >= self._share:  # noqa: S311 - a sample
            return
        fields, request = context_fields(), current_request()
        route = None if request is None else route_of(request)
        if route in _PROBES:
            return
        level, reason, items = (None, None, None) if outcome is None else outcome
        ended = EndedRequest(
            str(fields.get("request_id")),
            self._now(),
            route or str(fields.get("endpoint") or ""),
            status,
            level,
            reason,
            fields.get("model_version"),
            seconds,
            items,
            fired,
        )
        with self._lock:
            if len(self._lines) < MAX_LINES_PER_SECOND:
                self._lines.append(ended)
            else:
                self._without_line += 1
            if not is_healthy and self._index is not None:
                self._admit(ended)
        if not self._has_work.is_set():
            self._has_work.set()

    def flush(self, timeout: float) -> None:
        """Write and send what there is, waiting up to `timeout` (s)."""
        deadline = self._clock() + timeout
        self._write_lines()
        self._deliver_all(deadline)

    def close(self, timeout: float) -> None:
        """Flush, and stop; what isn't delivered is lost and counted."""
        self.flush(timeout)
        self._closing.set()
        self._has_work.set()
        with self._lock:
            self._leave_out(len(self._waiting))
            self._waiting.clear()

    def _admit(self, ended: EndedRequest) -> None:
        now = self._clock()
        if now >= self._window_end:
            self._window_end, self._in_window = now + WINDOW_SECONDS, 0
        if self._in_window >= MAX_PER_WINDOW or len(self._waiting) >= MAX_WAITING:
            self._leave_out(1)
            return
        self._in_window += 1
        self._waiting.append(ended)

    def _leave_out(self, count: int) -> None:
        self._left_out += count
        self._counters.add("requests_left_out", count)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._has_work.wait()
            self._closing.wait(GATHER_SECONDS)
            self._has_work.clear()
            try:
                self._write_lines()
                if self._clock() >= self._next_try:
                    self._deliver_all(self._clock() + SEND_SECONDS)
            except Exception:  # noqa: BLE001 - without its thread, no request would be recorded any more
                _log.exception("requests could not be recorded")
            if self._waiting:
                self._has_work.set()

    def _write_lines(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, deque()
            count, self._without_line = self._without_line, 0
        for request in lines:
            log_request(request)
        if count:
            self._counters.add("request_lines_left_out", count)
            log_left_out(count)

    def _deliver_all(self, deadline: float) -> None:
        """Deliver batches until none is left, one isn't taken, or the deadline has passed."""
        index = self._index
        if index is None or not self._delivering.acquire(timeout=max(0.0, deadline - self._clock())):
            return
        try:
            while (self._waiting or self._left_out) and (left := deadline - self._clock()) > 0:
                with self._lock:
                    batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                    left_out = self._left_out
                delivery = index.deliver(batch, left_out, left)
                with self._lock:
                    goes_on = self._conclude(delivery, batch, left_out)
                if not goes_on:
                    break
        finally:
            self._delivering.release()

    def _conclude(self, delivery: Delivery, batch: list[EndedRequest], left_out: int) -> bool:
        """Do what a delivery asks for; return whether more may be sent now."""
        match delivery:
            case Delivery.TAKEN:
                self._counters.add("requests_delivered", len(batch))
                self._left_out -= left_out
                self._failures = 0
                return True
            case Delivery.REJECTED:
                # Also a wrong token: signals report it, so nothing is said here.
                self._leave_out(len(batch))
                self._pause(MAX_PAUSE_SECONDS)
            case Delivery.NO_INDEX:
                self._leave_out(len(batch) + len(self._waiting))
                self._waiting.clear()
                self._pause(NO_INDEX_SECONDS)
            case Delivery.LATER:
                self._waiting.extendleft(reversed(batch))
                self._failures += 1
                self._pause(min(2.0**self._failures, MAX_PAUSE_SECONDS))
        return False

    def _pause(self, seconds: float) -> None:
        self._next_try = self._clock() + seconds
