"""Monitoring of this process: on or off, and the calls that services make."""

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from monitoring import assembly, tracing
from monitoring.coalescing import Coalescer
from monitoring.metrics import Counters
from monitoring.redaction import RedactingFilter, Redactor
from monitoring.runtime import Runtime, counted
from monitoring.settings import MonitoringSettings
from monitoring.signals import SignalSink

_log = logging.getLogger(__name__)

EXIT_FLUSH_SECONDS = 2.0


class Reporter(Protocol):
    """Receives reports: the runtime, or in tests a substitute of `monitoring.testing`."""

    def report(
        self, point_id: str, error: BaseException | None, fields: Mapping[str, Any], occurrence: str | None
    ) -> str | None:
        """Receive a report; returns its event id if an event of its own is made."""
        ...

    def recovered(self, point_id: str, fields: Mapping[str, Any]) -> None:
        """Receive a recovery."""
        ...


@dataclass(slots=True)
class _State:
    runtime: Runtime | None = None
    # Starts monitoring again in a forked child: threads do not survive a fork.
    restart: Callable[[], None] | None = None
    substitute: Reporter | None = None
    redactor: Redactor = field(default_factory=Redactor)
    failed_once: bool = False
    # Until `init()` is called, or its absence is logged.
    needs_init_warning: bool = True
    hooked: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)


_state = _State()


def init(
    service: str,
    settings: MonitoringSettings,
    *,
    secrets: Iterable[str] = (),
    signal_sink: SignalSink | None = None,
) -> None:
    """Switch monitoring on, once per process and after any fork; a second call replaces the first.

    `secrets` are values that must never be sent or logged. `signal_sink` gets the alert signals in place of the
    gateway. It is called on a worker thread, and again later if it raises.
    """
    secrets = tuple(secrets)
    shutdown()
    with _state.lock:
        _state.failed_once = False
        _state.needs_init_warning = False
        _state.redactor = Redactor([*settings.secrets(), *secrets])
        _state.runtime = assembly.build(service, settings, _state.redactor, signal_sink)
        _state.restart = partial(init, service, settings, secrets=secrets, signal_sink=signal_sink)
        if not _state.hooked:
            _state.hooked = True
            atexit.register(shutdown)
            os.register_at_fork(after_in_child=_forked)


def report(
    point_id: str, *, error: BaseException | None = None, occurrence: str | None = None, **fields: object
) -> str | None:
    """Report that a monitoring point's fault happened; see docs/MONITORING_POINTS.md for the points and their fields.

    If several processes may see the same fault, `occurrence` names it uniquely. All reports of one occurrence get the
    same event and signal ids, so that collector and gateway store one.
    Returns the event's id, or None when it was counted as a repeat or no collector is set. Never raises.
    """
    try:
        reporter = _state.substitute or _runtime()
        return None if reporter is None else reporter.report(point_id, error, fields, occurrence)
    except Exception:  # noqa: BLE001 - reports are made in error paths, where a second error would hide the first
        _failed(point_id)
        return None


def recovered(point_id: str, **fields: object) -> None:
    """Report that a point's fault has ended, which ends its incidents; omitted fields match any value. Never raises."""
    try:
        reporter = _state.substitute or _runtime()
        if reporter is not None:
            reporter.recovered(point_id, fields)
    except Exception:  # noqa: BLE001 - as above
        _failed(point_id)


def warn_without_init(caller: str) -> None:
    """Log a warning, once per process, if `init()` was not called: what `caller` reports goes nowhere."""
    if not _state.needs_init_warning or _state.substitute is not None:
        return
    with _state.lock:
        if _state.needs_init_warning:
            _state.needs_init_warning = False
            _log.warning("%s reports nothing: monitoring.init() was not called in this process", caller)


def transaction(op: str, name: str, headers: Mapping[str, str] | None = None) -> AbstractContextManager[object]:
    """Time a block as a trace of its own, or as a part of the one around it; `headers` may carry one from elsewhere.

    For work outside of requests. With tracing off it does nothing.
    """
    runtime = _state.runtime
    if runtime is None:
        return tracing.NOTHING
    return tracing.transaction(op, name, headers, on=runtime.traces, export=runtime.export)


def request_ended(status: int, seconds: float) -> None:
    """Note that the current request was answered; never raises.

    Degraded and failed ones go to the gateway's index and, as far as 50 lines a second go, to the log.
    """
    runtime = _state.runtime
    if runtime is None:
        return
    try:
        tracing.note_status(status)
        runtime.requests.note(status, seconds)
    except Exception:  # noqa: BLE001 - the answer is on its way
        _failed("the end of a request")


def request_trace(scope: MutableMapping[str, Any]) -> AbstractContextManager[None]:
    """Trace the handling of an ASGI request; with tracing off it does nothing."""
    runtime = _state.runtime
    if runtime is None:
        return tracing.NOTHING
    return tracing.request(scope, on=runtime.traces, export=runtime.export)


def flush(timeout: float = EXIT_FLUSH_SECONDS) -> None:
    """Send what was counted so far and wait up to `timeout` (s) for delivery; for the end of a process."""
    runtime = _state.runtime
    if runtime is not None:
        runtime.flush(timeout)


def shutdown() -> None:
    """Flush and switch monitoring off."""
    with _state.lock:
        runtime, _state.runtime, _state.restart = _state.runtime, None, None
    if runtime is not None:
        runtime.close(EXIT_FLUSH_SECONDS)


def log_redaction() -> logging.Filter:
    """Return a filter for a log handler that redacts the secrets given to `init()`."""
    return RedactingFilter(_state.redactor)


def redactor() -> Redactor:
    """Return the redactor of the secrets given to `init()`."""
    return _state.redactor


def redacted(text: str) -> str:
    """Return a text without secrets, for answers to callers."""
    return _state.redactor.text(text)


def counters() -> dict[str, int]:
    """Return the counters of monitoring itself since `init()`; all zero while it is off."""
    runtime = _state.runtime
    return counted(Coalescer(), Counters()) if runtime is None else runtime.counts()


def waiting() -> dict[str, int]:
    """Return how many `events` and `signals` are not delivered yet, here and in the spool that this process sends."""
    runtime = _state.runtime
    return {} if runtime is None else runtime.waiting()


@contextmanager
def substituted(reporter: Reporter) -> Iterator[None]:
    """Give all reports of a block to `reporter` in place of the runtime."""
    before, _state.substitute = _state.substitute, reporter
    try:
        yield
    finally:
        _state.substitute = before


def _runtime() -> Runtime | None:
    runtime = _state.runtime
    if runtime is None and _state.restart is not None:
        with _state.lock:
            if _state.restart is not None and _state.runtime is None:
                _state.restart()
            runtime = _state.runtime
    return runtime


def _forked() -> None:
    # Runs in the child, where threads of the parent may have locked anything. So it only makes a new lock and abandons
    # the runtime.
    _state.lock = threading.RLock()
    runtime, _state.runtime = _state.runtime, None
    if runtime is not None:
        runtime.abandon()


def _failed(point_id: str) -> None:
    if not _state.failed_once:
        _state.failed_once = True
        _log.exception("monitoring failed to report %s; further failures are not logged", point_id)
