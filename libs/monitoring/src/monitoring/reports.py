"""A report: one occurrence (or the summed repeats) of a monitoring point, redacted and ready for both paths."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid4, uuid5

from monitoring.catalogue import EXCEPTION_PART, Level, Point, open_part
from monitoring.context import Breadcrumb
from monitoring.redaction import Redactor, cut, text_of

MAX_TAG = 200
MAX_MESSAGE = 2000
MAX_PART = 200
MAX_DEPTH = 4
MAX_ITEMS = 50
UNKNOWN = "unknown"

Key = tuple[str, Level, tuple[str, ...]]


class Observation(NamedTuple):
    """What the caller of `report()` said and what was known around it at that moment.

    A tuple, because each repeat of an outage makes one, and that is three times as fast as a frozen dataclass.
    A repeat keeps the `error_type` only: an error holds its whole stack in memory.
    """

    point: Point
    fields: Mapping[str, Any]
    context: Mapping[str, Any]
    breadcrumbs: tuple[Breadcrumb, ...]
    error_type: str | None = None
    error: BaseException | None = None
    # Where in which trace it was seen.
    trace: Mapping[str, str] | None = None
    # Names the one thing that happened, for reports of it from several processes.
    occurrence: str | None = None

    def value(self, name: str) -> Any:
        """Return a field, or the context's of that name, or what the error tells; None if nobody knows."""
        value = self.fields.get(name)
        if value is None:
            value = self.context.get(name)
        if value is None and name in {EXCEPTION_PART, "error_type"}:
            value = self.error_type
        return value

    def level(self) -> Level:
        """Return the catalogue's level, with its override by a field."""
        by = self.point.level_by
        if by is None:
            return self.point.level
        return by.values.get(text_of(self.value(by.field)), self.point.level)

    def event_id(self) -> str:
        """Return a new id, or the id that every report of this occurrence gets."""
        if self.occurrence is None:
            return uuid4().hex
        return uuid5(NAMESPACE_URL, f"{self.point.id}/{self.occurrence}").hex

    def fingerprint(self) -> tuple[str, ...]:
        """Return the catalogue's fingerprint with its open parts filled."""
        point = self.point
        if not point.open_parts:
            return point.fingerprint
        return tuple(part if (name := open_part(part)) is None else self._part(name) for part in point.fingerprint)

    def missing_parts(self) -> list[str]:
        """Return the fingerprint's open parts that nobody filled: a mistake of the caller."""
        return [name for name in self.point.open_parts if self.value(name) is None]

    def _part(self, name: str) -> str:
        value = self.value(name)
        return UNKNOWN if value is None else cut(text_of(value), MAX_PART)


@dataclass(frozen=True, slots=True)
class Report:
    """What is sent: `tags` and `context` are redacted; times are Unix seconds."""

    event_id: str
    point: Point
    level: Level
    fingerprint: tuple[str, ...]
    message: str
    tags: Mapping[str, str]
    context: Mapping[str, Any]
    breadcrumbs: tuple[Breadcrumb, ...]
    occurrences: int
    first_seen: float
    last_seen: float
    request_ids: tuple[str, ...]
    user_id: str | None = None
    trace: Mapping[str, str] | None = None
    error: BaseException | None = field(default=None, repr=False)

    @property
    def point_id(self) -> str:
        """The id of the monitoring point."""
        return self.point.id


@dataclass(frozen=True, slots=True)
class OccurrenceWindow:
    """How often something was seen, and when: Unix seconds."""

    occurrences: int
    first_seen: float
    last_seen: float
    request_ids: tuple[str, ...]


def compose(seen: Observation, window: OccurrenceWindow, *, service: str, redactor: Redactor) -> Report:
    """Put together what is sent for an observation."""
    tags = _tags(seen, service, redactor)
    context = _plain({name: value for name, value in seen.fields.items() if name not in tags and value is not None})
    request_ids = tuple(redactor.text(request_id) for request_id in window.request_ids)
    if window.occurrences > 1:
        context |= {"occurrences": window.occurrences, "request_ids": list(request_ids)}
    else:
        context |= {"occurrences": 1}
    return Report(
        event_id=seen.event_id(),
        point=seen.point,
        level=seen.level(),
        fingerprint=tuple(redactor.text(part) for part in seen.fingerprint()),
        message=_message(seen, window, redactor),
        tags=tags,
        context=_scrubbed(context, redactor),
        breadcrumbs=tuple(_clean(crumb, redactor) for crumb in seen.breadcrumbs),
        occurrences=window.occurrences,
        first_seen=window.first_seen,
        last_seen=window.last_seen,
        request_ids=request_ids,
        user_id=tags.get("user_id"),
        trace=seen.trace,
        error=seen.error,
    )


def _tags(seen: Observation, service: str, redactor: Redactor) -> dict[str, str]:
    known = {**seen.context, **{name: seen.value(name) for name in seen.point.tags}}
    tags = {"service": service, "monitoring_point": seen.point.id}
    for name, value in known.items():
        text = "" if value is None else _tag(value, redactor)
        if text:
            tags[name] = text
    return tags


def _tag(value: object, redactor: Redactor) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    # Relay refuses tags with line breaks.
    return cut(" ".join(redactor.text(text_of(value)).split()), MAX_TAG)


def _message(seen: Observation, window: OccurrenceWindow, redactor: Redactor) -> str:
    point = seen.point
    parts = [text_of(value) for name in point.open_parts if name != EXCEPTION_PART and (value := seen.value(name))]
    subject = f" [{' / '.join(parts)}]" if parts else ""
    text = redactor.text(f"{point.id}{subject}: {_detail(seen)}")
    times = f" ({window.occurrences} more times)" if window.occurrences > 1 else ""
    return cut(text, MAX_MESSAGE - len(times)) + times


def _detail(seen: Observation) -> str:
    if seen.error is not None:
        text = text_of(seen.error)
        return f"{type(seen.error).__name__}: {text}" if text else type(seen.error).__name__
    for name in ("error", "details", "detail"):
        value = seen.fields.get(name)
        if value:
            return text_of(value)
    return seen.error_type or seen.point.when


def _clean(crumb: Breadcrumb, redactor: Redactor) -> Breadcrumb:
    return Breadcrumb(
        cut(redactor.text(crumb.message)),
        crumb.category,
        crumb.level,
        _scrubbed(_plain(crumb.data), redactor),
        crumb.at,
    )


def _scrubbed(data: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    scrubbed = redactor.scrub(data)
    assert isinstance(scrubbed, dict)  # noqa: S101 - scrub keeps the kind of what it is given
    return scrubbed


def _plain(data: Mapping[str, object]) -> dict[str, Any]:
    return {text_of(name): _plain_value(value, MAX_DEPTH) for name, value in list(data.items())[:MAX_ITEMS]}


def _plain_value(value: object, depth: int) -> object:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth and isinstance(value, Mapping):
        return {text_of(name): _plain_value(held, depth - 1) for name, held in list(value.items())[:MAX_ITEMS]}
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain_value(item, depth - 1) for item in list(value)[:MAX_ITEMS]]
    return text_of(value)
