"""Delivery to the notification gateway: every report and every recovery becomes an alert signal."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import NAMESPACE_OID, uuid4, uuid5

import urllib3
from pydantic import ValidationError

from contracts.signals import AlertSignal, SignalReceipt, UnreadableSignal, read_signal
from monitoring.outbox.outbox import Outbox
from monitoring.outbox.outcomes import Delivered, Failed, Outcome, Rejected, Unavailable
from monitoring.reports import Report

CONNECT_TIMEOUT_SECONDS = 2.0
READ_TIMEOUT_SECONDS = 5.0
BATCH = 100

# Receives signals in place of the gateway; returns which of them it rejects for good.
SignalSink = Callable[[Sequence[AlertSignal]], SignalReceipt | None]
# Longer values (over eleven days) are ignored; the outbox waits for minutes at most.
MAX_RETRY_AFTER_DIGITS = 6
_TAKEN = range(200, 300)
_FINAL = frozenset({400, 413, 422})
_BROKE = 500


class GatewaySink:
    """Posts batches of signals to `{url}/signals`."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = f"{url.rstrip('/')}/signals"
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS),
            retries=False,
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
        )

    def deliver(self, payloads: Sequence[bytes]) -> Outcome:
        """Send signals, each the JSON of an `AlertSignal`."""
        body = b'{"signals":[' + b",".join(payloads) + b"]}"
        try:
            response = self._pool.request("POST", self._url, body=body)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Unavailable(f"{type(error).__name__}: {error}")
        if response.status in _TAKEN:
            return _delivered(response.data, payloads)
        reason = f"HTTP {response.status}"
        if response.status in _FINAL:
            return Rejected(reason)
        if response.status == _BROKE:
            return Failed(reason)
        return Unavailable(reason, _seconds(response.headers.get("Retry-After", "")))


class LocalSink:
    """Passes signals to a function of this process. The gateway uses it for its own signals."""

    def __init__(self, sink: SignalSink) -> None:
        self._sink = sink

    def deliver(self, payloads: Sequence[bytes]) -> Outcome:
        """Pass the signals; if the function raises, they are passed again later."""
        read = [_read(payload) for payload in payloads]
        unreadable = {at: each.reason for at, each in enumerate(read) if isinstance(each, UnreadableSignal)}
        signals = [each for each in read if isinstance(each, AlertSignal)]
        receipt = self._sink(signals) if signals else None
        return Delivered(unreadable | _rejected(receipt, payloads))


def _delivered(answer: bytes, payloads: Sequence[bytes]) -> Outcome:
    try:
        receipt = SignalReceipt.model_validate_json(answer)
    except ValidationError:
        # A login page, or a proxy's own answer.
        return Unavailable("the answer is not a gateway's")
    return Delivered(_rejected(receipt, payloads))


def _rejected(receipt: SignalReceipt | None, payloads: Sequence[bytes]) -> dict[int, str]:
    """Return the reasons by the positions of the payloads that were rejected."""
    if receipt is None or not receipt.rejected:
        return {}
    reasons = {each.signal_id: each.reason for each in receipt.rejected}
    ids = map(_signal_id, payloads)
    return {at: reasons[signal_id] for at, signal_id in enumerate(ids) if signal_id in reasons}


def _signal_id(payload: bytes) -> str | None:
    return _read(payload).signal_id


def _read(payload: bytes) -> AlertSignal | UnreadableSignal:
    try:
        return read_signal(json.loads(payload))
    except (ValueError, RecursionError) as error:
        return UnreadableSignal(None, "", f"not JSON ({type(error).__name__})")


def _seconds(text: str) -> float | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_RETRY_AFTER_DIGITS
    return float(text) if is_number else None


class SignalPath:
    """Turns reports into signals and puts them into the outbox."""

    def __init__(self, outbox: Outbox, service: str, environment: str) -> None:
        self._outbox = outbox
        self._service = service
        self._environment = environment

    def fired(self, report: Report, event_id: str | None) -> None:
        """Send a signal for a report; `event_id` is its event in the collector, if there is one."""
        self._put(
            AlertSignal(
                # One report is one signal: reports with the same event id have the same signal id.
                signal_id=uuid5(NAMESPACE_OID, report.event_id).hex,
                event_id=event_id,
                kind="fired",
                monitoring_point=report.point_id,
                fingerprint=list(report.fingerprint),
                level=report.level,
                category=report.point.category,
                service=self._service,
                environment=self._environment,
                message=report.message,
                occurrences=report.occurrences,
                first_seen=datetime.fromtimestamp(report.first_seen, UTC),
                last_seen=datetime.fromtimestamp(report.last_seen, UTC),
                request_ids=list(report.request_ids),
                tags=dict(report.tags),
            )
        )

    def recovered(self, report: Report) -> None:
        """Send a signal that ends the incident of this fingerprint."""
        self._put(
            AlertSignal(
                signal_id=uuid4().hex,
                kind="recovered",
                monitoring_point=report.point_id,
                fingerprint=list(report.fingerprint),
                level=report.level,
                category=report.point.category,
                service=self._service,
                environment=self._environment,
                message=report.message,
                first_seen=datetime.fromtimestamp(report.first_seen, UTC),
                last_seen=datetime.fromtimestamp(report.last_seen, UTC),
                tags=dict(report.tags),
            )
        )

    def start(self, on_dropped: Callable[[], None]) -> None:
        """Start delivering."""
        self._outbox.start(on_dropped)

    def waiting(self) -> int:
        """Return how many signals are not delivered yet."""
        return self._outbox.waiting()

    def abandon(self) -> None:
        """In a forked child: drop references to what belongs to the parent."""
        self._outbox.abandon()

    def flush(self, timeout: float) -> None:
        """Wait for the delivery of what is ready."""
        self._outbox.flush(timeout)

    def close(self, timeout: float) -> None:
        """Deliver what can be delivered."""
        self._outbox.close(timeout)

    def _put(self, signal: AlertSignal) -> None:
        self._outbox.put(signal.signal_id, signal.model_dump_json().encode())
