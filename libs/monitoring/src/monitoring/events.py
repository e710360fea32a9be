"""Makes a Sentry event of a report: the outline that is written ahead, and the whole event with local variables."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any

from sentry_sdk.consts import VERSION
from sentry_sdk.envelope import Envelope, Item, PayloadRef

from monitoring.context import Breadcrumb
from monitoring.platforms import add_platform
from monitoring.redaction import MAX_TEXT, Redactor, cut, text_of
from monitoring.reports import Report

MAX_CHAIN = 5
MAX_FRAMES = 50

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Fields that are the same in every event of a process. `gateway_page` is the gateway's address for people."""

    environment: str
    release: str
    server_name: str
    gateway_page: str = ""

    @classmethod
    def of(cls, environment: str, release: str, gateway_page: str = "") -> "Origin":
        """Return the origin on this host."""
        return cls(environment, release, socket.gethostname(), gateway_page.rstrip("/"))

    def request_page(self, request_id: str | None) -> Mapping[str, str]:
        """Return the link to the gateway's page about a request, if both are known."""
        if request_id is None or not self.gateway_page:
            return {}
        return {"request_page": f"{self.gateway_page}/dashboard/request/{request_id}"}


def event_of(report: Report, origin: Origin) -> Event:
    """Return the event without its exception. What the catalogue promises comes before what users set in the SDK."""
    event: Event = {
        "event_id": report.event_id,
        "timestamp": _iso(report.last_seen),
        "platform": "python",
        "level": report.level,
        "logger": "monitoring",
        # Collectors title an error by its exception and show this beside it, so the list always names the point.
        "transaction": report.point_id,
        "logentry": {"formatted": report.message},
        "fingerprint": list(report.fingerprint),
        "environment": origin.environment,
        "release": origin.release,
        "server_name": origin.server_name,
        "tags": {**report.sdk.tags, **report.tags},
        "contexts": _contexts(report, origin),
        "breadcrumbs": {"values": [_crumb(crumb) for crumb in report.breadcrumbs]},
    }
    if report.request is not None:
        event["request"] = dict(report.request)
    if report.sdk.extra:
        event["extra"] = dict(report.sdk.extra)
    user = dict(report.sdk.user or {})
    if report.user_id is not None:
        user["id"] = report.user_id
    if user:
        event["user"] = user
    add_platform(event)
    return event


def _contexts(report: Report, origin: Origin) -> Event:
    own: dict[str, Mapping[str, Any]] = {
        report.point.component: {
            **report.context,
            **origin.request_page(report.tags.get("request_id")),
            "first_seen": _iso(report.first_seen),
            "last_seen": _iso(report.last_seen),
        },
    }
    if report.route is not None:
        own["http"] = {"route": report.route}
    if report.trace is not None:
        own["trace"] = report.trace
    users = report.sdk.contexts
    return {**users, **{name: {**users.get(name, {}), **context} for name, context in own.items()}}


def _crumb(crumb: Breadcrumb) -> Event:
    return {
        "timestamp": crumb.timestamp,
        "type": crumb.type,
        "category": crumb.category,
        "level": crumb.level,
        "message": crumb.message,
        "data": dict(crumb.data),
    }


def outline_of(report: Report, origin: Origin, redactor: Redactor) -> Event:
    """Return the event with the types, texts and places of the exceptions only."""
    event = event_of(report, origin)
    event["sdk"] = {"name": "sentry.python", "version": VERSION}
    if report.error is not None:
        # The collector reads a chain from the oldest to the one that was caught.
        values = [_exception_outline(error, redactor) for error in _chain(report.error)]
        event["exception"] = {"values": values[::-1]}
    return event


def envelope_of(event: Event, headers: Mapping[str, Any] = MappingProxyType({})) -> Envelope:
    """Return the envelope that carries one event."""
    item = Item(payload=PayloadRef(json=event), type="event")
    return Envelope(headers={"event_id": event["event_id"], **headers}, items=[item])


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < MAX_CHAIN:
        seen.add(id(current))
        yield current
        hidden = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or hidden


def _exception_outline(error: BaseException, redactor: Redactor) -> Event:
    kind = type(error)
    outline: Event = {
        "type": kind.__name__,
        "module": kind.__module__,
        "value": cut(redactor.text(text_of(error)), MAX_TEXT),
        "mechanism": {"type": "monitoring", "handled": True},
    }
    frames = [_frame_outline(traceback) for traceback in _tracebacks(error.__traceback__)]
    if frames:
        outline["stacktrace"] = {"frames": frames[-MAX_FRAMES:]}
    return outline


def _tracebacks(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _frame_outline(traceback: TracebackType) -> Event:
    frame = traceback.tb_frame
    module = frame.f_globals.get("__name__")
    return {
        "filename": frame.f_code.co_filename,
        "function": frame.f_code.co_qualname,
        "module": module if isinstance(module, str) else None,
        "lineno": traceback.tb_lineno,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
