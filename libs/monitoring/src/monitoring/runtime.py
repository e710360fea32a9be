"""What runs in a process while monitoring is on: coalescing on the caller's thread, the rest on its own thread."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from monitoring import tracing
from monitoring.catalogue import Point, open_part
from monitoring.coalescing import Coalescer, Repeats
from monitoring.collector import CollectorPath
from monitoring.context import context_fields, current_request, note_fired, snapshot
from monitoring.ended_requests.recorder import RequestRecorder
from monitoring.exported_spans import SpanExport
from monitoring.metrics import Counters
from monitoring.redaction import Redactor, text_of
from monitoring.report_log import log_report
from monitoring.reports import Key, Observation, OccurrenceWindow, Report, compose
from monitoring.sdk_scopes import task_values
from monitoring.signals import SignalPath

_log = logging.getLogger(__name__)

# Reports that wait to become events keep stacks in memory; beyond this number their outlines are sent.
MAX_QUEUED = 500
MAX_REMEMBERED = 1000
# In a recovery's fingerprint: matches any value of this part.
ANY = "*"


class Runtime:
    """Sends a process's reports to collector, gateway and log. `now` returns Unix time for the times of events."""

    def __init__(
        self,
        service: str,
        points: Iterable[Point],
        *,
        coalescer: Coalescer[Key, Observation],
        redactor: Redactor,
        counters: Counters,
        collector: CollectorPath | None,
        signals: SignalPath | None,
        requests: RequestRecorder,
        export: SpanExport | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.redactor = redactor
        self.counters = counters
        self._service = service
        self._points = {point.id: point for point in points}
        # Of the points whose reports are all of one fingerprint.
        self._keys: dict[str, Key] = {
            point.id: (point.id, point.level, point.fingerprint)
            for point in self._points.values()
            if not point.open_parts and point.level_by is None
        }
        self._collector = collector
        self._signals = signals
        self.requests = requests
        self._now = now
        self._coalescer = coalescer
        # Locked while repeats are sent, so that a recovery does not overtake them.
        self._order = threading.Lock()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._fired: dict[Key, None] = {}
        self._occurrences: dict[tuple[str, str], None] = {}
        self._logged: set[str] = set()
        self.traces = collector is not None and collector.traces
        self.export = export
        self._thread = threading.Thread(target=self._run, name="monitoring", daemon=True)

    def start(self) -> None:
        """Start the threads: one that makes events and closes windows, and one for each destination."""
        if self._collector is not None:
            self._collector.start(partial(self._dropped, "events"))
        if self._signals is not None:
            self._signals.start(partial(self._dropped, "signals"))
        self.requests.start()
        self._thread.start()

    def report(
        self,
        point_id: str,
        error: BaseException | None,
        fields: Mapping[str, Any],
        occurrence: str | None = None,
    ) -> str | None:
        """Count a repeat, or send a first report; returns its event id if an event is sent."""
        point = self._points.get(point_id)
        if point is None:
            self._log_once(f"{point_id!r} is no monitoring point of the catalogue; nothing is reported")
            return None
        if occurrence is not None and self._is_known_occurrence(point_id, occurrence):
            return None
        # Until it is clear whether this is a repeat, only what a repeat needs is computed.
        fields_in_context, breadcrumbs = snapshot()
        error_type = None if error is None else type(error).__name__
        trace = tracing.context() if self.traces or self.export is not None else None
        seen = Observation(
            point,
            fields,
            fields_in_context,
            breadcrumbs,
            error_type,
            None,
            trace,
            occurrence,
            current_request(),
            task_values(),
        )
        key = self._keys.get(point_id) or (point_id, seen.level(), seen.fingerprint())
        request_id = fields_in_context.get("request_id")
        if request_id is not None:
            note_fired(point_id, key[2])
        if not self._coalescer.observe(key, seen, request_id):
            return None
        for name in seen.missing_parts():
            self._log_once(f"{point_id} was reported without {name}, which its fingerprint needs")
        self._remember(key)
        at = self._now()
        window = OccurrenceWindow(1, at, at, () if request_id is None else (request_id,))
        return self._emit(seen._replace(error=error), window)

    def recovered(self, point_id: str, fields: Mapping[str, Any]) -> None:
        """End the incidents of a point: close their windows and send a recovery signal."""
        point = self._points.get(point_id)
        if point is None:
            self._log_once(f"{point_id!r} is no monitoring point of the catalogue; nothing recovers")
            return
        seen = Observation(point, fields, context_fields(), ())
        wanted = tuple(_wanted(seen, part) for part in point.fingerprint)

        def has_ended(key: Key) -> bool:
            return key[0] == point_id and all(
                want is None or want == part for want, part in zip(wanted, key[2], strict=True)
            )

        self._emit_repeats(partial(self._coalescer.end, has_ended))
        for key in [key for key in list(self._fired) if has_ended(key)]:
            self._fired.pop(key, None)
        if self._signals is None:
            return
        at = self._now()
        composed = compose(seen, OccurrenceWindow(1, at, at, ()), service=self._service, redactor=self.redactor)
        # Also for what another process reported: the same step of another run, another replica.
        fingerprint = tuple(ANY if part is None else self.redactor.text(part) for part in wanted)
        self._signals.recovered(replace(composed, fingerprint=fingerprint, message=f"{point_id}: recovered"))

    def counts(self) -> dict[str, int]:
        """Return the numbers of reports, events and signals by outcome."""
        return counted(self._coalescer, self.counters)

    def waiting(self) -> dict[str, int]:
        """Return how many events and signals are not delivered yet."""
        paths = {"events": self._collector, "signals": self._signals}
        return {kind: 0 if path is None else path.waiting() for kind, path in paths.items()}

    def flush(self, timeout: float) -> None:
        """Send the repeats counted so far and wait up to `timeout` (s) for the delivery of everything."""
        deadline = time.monotonic() + timeout
        self._emit_repeats(self._coalescer.drain)
        made = threading.Event()
        self._jobs.put(made.set)
        made.wait(timeout)
        for path in (self._signals, self._collector):
            if path is not None:
                path.flush(max(0.0, deadline - time.monotonic()))
        self.requests.flush(max(0.0, deadline - time.monotonic()))
        if self.export is not None:
            self.export.flush(max(0.0, deadline - time.monotonic()))

    def close(self, timeout: float) -> None:
        """Flush and stop; undelivered events and signals stay in the spool."""
        self.flush(timeout)
        self._jobs.put(None)
        self._thread.join(timeout=1.0)
        for path in (self._signals, self._collector):
            if path is not None:
                path.close(0.0)
        self.requests.close(0.0)
        if self.export is not None:
            self.export.close(0.0)

    def abandon(self) -> None:
        """In a forked child: drop references to what belongs to the parent."""
        for path in (self._signals, self._collector):
            if path is not None:
                path.abandon()

    def _dropped(self, kind: str) -> None:
        total = self.counters.snapshot()[f"{kind}_dropped"]
        self.report("monitoring.dropped", None, {"kind": kind, "dropped_total": total})

    def _emit(self, seen: Observation, window: OccurrenceWindow) -> str | None:
        report = compose(seen, window, service=self._service, redactor=self.redactor)
        try:
            log_report(report, self.redactor)
        finally:
            event_id = self._send(report)
        return event_id

    def _send(self, report: Report) -> str | None:
        collector = self._collector
        if collector is not None and not collector.wants(report):
            self.counters.add("events_filtered")
            collector = None
        event_id = None if collector is None else report.event_id
        overloaded = self._jobs.qsize() >= MAX_QUEUED
        try:
            if collector is not None and (report.level == "error" or overloaded):
                collector.write_ahead(report)
        finally:
            # A failure of one destination does not affect the other.
            try:
                if self._signals is not None:
                    self._signals.fired(report, event_id)
            finally:
                if collector is None:
                    # Wakes the thread, which waits for the end of the new window.
                    self._jobs.put(_nothing)
                elif overloaded:
                    collector.commit(report)
                else:
                    self._jobs.put(partial(collector.send, report))
        return event_id

    def _emit_repeats(self, take: Callable[[], list[Repeats[Key, Observation]]]) -> None:
        with self._order:
            offset = self._now() - self._coalescer.clock()
            for taken in take():
                first, last = taken.first_seen + offset, taken.last_seen + offset
                # A sum is not a single occurrence: with the id of one, the collector would discard it as a duplicate.
                summed = taken.last if taken.occurrences == 1 else taken.last._replace(occurrence=None)
                self._emit(summed, OccurrenceWindow(taken.occurrences, first, last, taken.request_ids))

    def _run(self) -> None:
        while True:
            job: Callable[[], None] | None = _nothing
            with suppress(queue.Empty):
                job = self._jobs.get(timeout=self._coalescer.next_end())
            if job is None:
                return
            try:
                job()
                self._emit_repeats(self._coalescer.due)
            except BaseException:  # noqa: BLE001 - the thread must survive any content of a report
                _log.exception("monitoring could not handle a report")

    def _remember(self, key: Key) -> None:
        self._fired[key] = None
        if len(self._fired) > MAX_REMEMBERED:
            self._fired.pop(next(iter(self._fired)), None)

    def _is_known_occurrence(self, point_id: str, occurrence: str) -> bool:
        is_known = (point_id, occurrence) in self._occurrences
        self._occurrences[point_id, occurrence] = None
        if len(self._occurrences) > MAX_REMEMBERED:
            self._occurrences.pop(next(iter(self._occurrences)), None)
        return is_known

    def _log_once(self, text: str) -> None:
        if text not in self._logged:
            self._logged.add(text)
            _log.error("%s", text)


def counted(coalescer: Coalescer[Any, Any], counters: Counters) -> dict[str, int]:
    """Return all counters by name."""
    reports = coalescer.firsts + coalescer.repeats
    return {"reports": reports, "reports_coalesced": coalescer.repeats, **counters.snapshot()}


def _nothing() -> None:
    """Do nothing: the job when only a window has ended."""


def _wanted(seen: Observation, part: str) -> str | None:
    name = open_part(part)
    if name is None:
        return part
    value = seen.value(name)
    return None if value is None else text_of(value)
