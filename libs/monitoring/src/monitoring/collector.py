"""Delivery to the Sentry-compatible collector: the SDK makes the event, our transport stores it until delivery."""

import gzip
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import sentry_sdk
import urllib3
from sentry_sdk.client import BaseClient
from sentry_sdk.consts import EndpointType
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport, _parse_rate_limits
from sentry_sdk.utils import event_from_exception, json_dumps

from monitoring.before_send import ON_DROPPED, BeforeSend
from monitoring.context import MAX_BREADCRUMBS
from monitoring.events import Origin, envelope_of, event_of, outline_of
from monitoring.outbox.outbox import Outbox
from monitoring.outbox.outcomes import Delivered, Failed, Outcome, Rejected, Unavailable, Withheld
from monitoring.redaction import MAX_SEARCHED, Redactor
from monitoring.reports import Report

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 2.0
READ_TIMEOUT_SECONDS = 5.0
# Collectors refuse events above 1 MiB.
MAX_EVENT_BYTES = 900_000
# These mean that the envelope itself is wrong. All other faults may pass: an unknown key, a proxy, an overload.
_FINAL = frozenset({400, 413, 422})
_BROKE = 500
_OVERLOADED = 429
_COMPRESSION = 3
# In the header of an outline's envelope, while it waits. The hook runs only when the outline is sent, so never on the
# thread of a request.
_OUTLINE = "monitoring_outline"


class CollectorTransport(HttpTransport):
    """The SDK's transport with an outbox. Its own queue loses what the collector does not accept at the first try.

    The SDK creates it; `use()` sets the outbox. Transactions are samples and use the SDK's own queue.
    """

    _outbox: Outbox | None = None
    _before_send: BeforeSend | None = None

    def use(self, outbox: Outbox, before_send: BeforeSend) -> None:
        """Set the outbox that events are put into, and what outlines pass before they are sent."""
        self._outbox = outbox
        self._before_send = before_send

    def capture_envelope(self, envelope: Envelope) -> None:
        """Put an event into the outbox; pass everything else to the SDK's own queue."""
        event = envelope.get_event()
        if event is None or self._outbox is None:
            super().capture_envelope(envelope)
            return
        self._outbox.put(str(event["event_id"]), _fitting(envelope, event))

    def deliver(self, payloads: Sequence[bytes]) -> Outcome:
        """Send one envelope (collectors take one event an envelope)."""
        payload = self._final(*payloads)
        if payload is None:
            return Withheld()
        headers = {"Content-Type": "application/x-sentry-envelope", "Content-Encoding": "gzip"}
        self._update_headers(headers)
        body = gzip.compress(payload, _COMPRESSION)
        try:
            response = self._request("POST", EndpointType.ENVELOPE, body, headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Unavailable(f"{type(error).__name__}: {error}")
        try:
            return self._outcome_of(response)
        finally:
            response.close()

    def _final(self, payload: bytes) -> bytes | None:
        """Return what is sent for a stored envelope; None if the hook drops its outline."""
        head, _, rest = payload.partition(b"\n")
        header = json.loads(head)
        # Sentry corrects a client's clock by it.
        header["sent_at"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        if header.pop(_OUTLINE, False) and self._before_send is not None:
            outline = json.loads(rest.split(b"\n")[1])
            event = self._before_send(outline, {})
            return None if event is None else envelope_of(event, header).serialize()
        return json_dumps(header) + b"\n" + rest

    def _request(
        self, method: str, endpoint_type: EndpointType, body: Any, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            method,
            self._auth.get_api_url(endpoint_type),
            body=body,
            headers=headers,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS),
        )

    def _outcome_of(self, response: urllib3.BaseHTTPResponse) -> Outcome:
        status = response.status
        limits = response.headers.get("X-Sentry-Rate-Limits")
        if limits:
            # Keeps the SDK from sending what the collector rejects (transactions, with Bugsink).
            self._disabled_until.update(_parse_rate_limits(limits))
        if status == _OVERLOADED:
            return Unavailable("HTTP 429", self._asked_pause(response))
        if status in _FINAL:
            return Rejected(f"HTTP {status}")
        if status == _BROKE:
            return Failed(f"HTTP {status}")
        if not 200 <= status < 300 or not _is_json(response.data):
            return Unavailable(f"HTTP {status} is not a collector's answer", self._asked_pause(response))
        return Delivered()

    def _asked_pause(self, response: urllib3.BaseHTTPResponse) -> float | None:
        until = [self._disabled_until[category] for category in ("error", None) if category in self._disabled_until]
        if until:
            seconds = (max(until) - datetime.now(UTC)).total_seconds()
            if seconds > 0:
                return seconds
        after = response.headers.get("Retry-After")
        if after is None:
            return None
        try:
            return self._retry.parse_retry_after(after)
        except urllib3.exceptions.InvalidHeader:
            return None


class Sdk(NamedTuple):
    """The started SDK, and its transport, which is ours."""

    client: BaseClient
    transport: CollectorTransport


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Decides which reports become events. Alert signals are sent for all reports."""

    ignored: frozenset[str] = frozenset()
    # Share of warning and info events; all error events are sent.
    rate: float = 1.0

    def wants(self, report: Report) -> bool:
        """Return whether a report becomes an event. All processes that report one occurrence decide the same."""
        if report.point_id in self.ignored:
            return False
        return report.level == "error" or int(report.event_id[:8], 16) < self.rate * 2**32


class CollectorPath:
    """Turns reports into events: first an outline of an error, on the caller's thread, then the whole event."""

    def __init__(
        self,
        sdk: Sdk,
        outbox: Outbox,
        origin: Origin,
        redactor: Redactor,
        before_send: BeforeSend,
        *,
        events: EventFilter = EventFilter(),
        traces: bool = False,
    ) -> None:
        # Our own: a second `sentry_sdk.init` replaces the global one.
        self._client = sdk.client
        self._outbox = outbox
        self._origin = origin
        self._redactor = redactor
        self._events = events
        self.traces = traces
        sdk.transport.use(outbox, before_send)

    def wants(self, report: Report) -> bool:
        """Return whether this report becomes an event."""
        return self._events.wants(report)

    def write_ahead(self, report: Report) -> None:
        """Store an outline of the event, so that `kill -9` does not lose it."""
        outline = envelope_of(outline_of(report, self._origin, self._redactor), {_OUTLINE: True})
        self._outbox.write_ahead(report.event_id, outline.serialize())

    def send(self, report: Report) -> None:
        """Send the whole event by the SDK, or the outline if the SDK cannot make the event."""
        event = event_of(report, self._origin)
        hint: dict[str, Any] = {}
        try:
            if report.error is not None:
                made, hint = event_from_exception(
                    report.error, self._client.options, mechanism={"type": "monitoring", "handled": True}
                )
                event["exception"] = made["exception"]
            hint[ON_DROPPED] = partial(self._outbox.discard, report.event_id)
            self._client.capture_event(event, hint)
        finally:
            self._outbox.commit(report.event_id)

    def commit(self, report: Report) -> None:
        """Send the outline as the event."""
        self._outbox.commit(report.event_id)

    def start(self, on_dropped: Callable[[], None]) -> None:
        """Start delivering."""
        self._outbox.start(on_dropped)

    def waiting(self) -> int:
        """Return how many events are not delivered yet."""
        return self._outbox.waiting()

    def abandon(self) -> None:
        """In a forked child: drop references to what belongs to the parent."""
        self._outbox.abandon()

    def flush(self, timeout: float) -> None:
        """Wait for the delivery of what is ready."""
        self._outbox.flush(timeout)
        if self.traces:
            self._client.flush(timeout)

    def close(self, timeout: float) -> None:
        """Deliver what can be delivered and close the SDK."""
        self._outbox.close(timeout)
        self._client.close(timeout=0)


def start_sdk(
    dsn: str,
    service: str,
    origin: Origin,
    redactor: Redactor,
    before_send: BeforeSend,
    *,
    traces_sampler: Callable[[dict[str, Any]], float] | None,
) -> Sdk:
    """Initialise the SDK without integrations, whose cost on each request is higher than that of the request."""

    def redact_transaction(event: Any, _hint: dict[str, Any]) -> Any:
        return redactor.scrub(event)

    sentry_sdk.init(
        dsn=dsn,
        environment=origin.environment,
        release=origin.release,
        server_name=origin.server_name,
        transport=CollectorTransport,
        default_integrations=False,
        auto_enabling_integrations=False,
        max_breadcrumbs=MAX_BREADCRUMBS,
        # Only bounds the memory: the text is cut after redaction.
        max_value_length=MAX_SEARCHED,
        before_send=before_send,
        before_send_transaction=redact_transaction,
        traces_sampler=traces_sampler,
        # Backpressure handling halves sampling when the collector rejects transactions.
        enable_backpressure_handling=False,
        send_client_reports=False,
        auto_session_tracking=False,
    )
    sentry_sdk.get_global_scope().set_tag("service", service)
    client = sentry_sdk.get_client()
    assert isinstance(client.transport, CollectorTransport)  # noqa: S101 - named in the call above
    return Sdk(client, client.transport)


def _fitting(envelope: Envelope, event: Any) -> bytes:
    """Return the envelope's bytes, without local variables and source lines if it is too large for a collector."""
    payload = envelope.serialize()
    if len(payload) <= MAX_EVENT_BYTES:
        return payload
    for value in event.get("exception", {}).get("values", ()):
        for frame in (value.get("stacktrace") or {}).get("frames", ()):
            for name in ("vars", "pre_context", "post_context"):
                frame.pop(name, None)
    return envelope_of(event).serialize()


def _is_json(body: bytes) -> bool:
    """Return whether an answer is a collector's, which is JSON or empty, and not a page of a proxy."""
    if not body.strip():
        return True
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
