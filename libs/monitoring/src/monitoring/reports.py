"""A report: one occurrence (or the summed repeats) of a monitoring point, redacted and ready for both paths."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid4, uuid5

from monitoring.catalogue import EXCEPTION_PART, Level, Point, open_part
from monitoring.context import MAX_BREADCRUMBS, Breadcrumb
from monitoring.plain_data import plain_data, tag_text
from monitoring.redaction import Redactor, cut, text_of
from monitoring.requests import AsgiScope, describe_request, route_of
from monitoring.sdk_scopes import NO_VALUES, SdkValues, merge_values, process_values
from monitoring.sdk_values import breadcrumb_of, clean_values

MAX_MESSAGE = 2000
MAX_PART = 200
UNKNOWN = "unknown"

Key = tuple[str, Level, tuple[str, ...]]


class Observation(NamedTuple):
    """The arguments of `report()` and the context of that moment.

    A tuple, because each repeat of an outage creates one, and that is three times as fast as a frozen dataclass.
    A repeat has the `error_type` only: an error keeps its whole stack in memory.
    """

    point: Point
    fields: Mapping[str, Any]
    context: Mapping[str, Any]
    breadcrumbs: tuple[Breadcrumb, ...]
    error_type: str | None = None
    error: BaseException | None = None
    # Trace and span of that moment.
    trace: Mapping[str, str] | None = None
    # Names the fault uniquely, for reports of it from several processes.
    occurrence: str | None = None
    request: AsgiScope | None = None
    sdk: SdkValues = NO_VALUES

    def value(self, name: str) -> Any:
        """Return the field of that name, or the context's, or the error's type; None if it is unknown."""
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
        """Return the fingerprint's open parts without a value: a mistake of the caller."""
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
    request: Mapping[str, Any] | None = None
    route: str | None = None
    sdk: SdkValues = NO_VALUES
    error: BaseException | None = field(default=None, repr=False)

    @property
    def point_id(self) -> str:
        """The id of the monitoring point."""
        return self.point.id


@dataclass(frozen=True, slots=True)
class OccurrenceWindow:
    """How often a fault occurred, and when: Unix seconds."""

    occurrences: int
    first_seen: float
    last_seen: float
    request_ids: tuple[str, ...]


def compose(seen: Observation, window: OccurrenceWindow, *, service: str, redactor: Redactor) -> Report:
    """Return what is sent for an observation."""
    tags = _tags(seen, service, redactor)
    fields = {name: value for name, value in seen.fields.items() if name not in tags and value is not None}
    request_ids = tuple(redactor.text(request_id) for request_id in window.request_ids)
    counted: dict[str, Any] = {"occurrences": window.occurrences}
    if window.occurrences > 1:
        counted["request_ids"] = list(request_ids)
    sdk = merge_values(process_values(), seen.sdk)
    return Report(
        event_id=seen.event_id(),
        point=seen.point,
        level=seen.level(),
        fingerprint=tuple(redactor.text(part) for part in seen.fingerprint()),
        message=_message(seen, window, redactor),
        tags=tags,
        context=plain_data(fields, redactor) | counted,
        breadcrumbs=_breadcrumbs(seen, sdk, window, redactor),
        occurrences=window.occurrences,
        first_seen=window.first_seen,
        last_seen=window.last_seen,
        request_ids=request_ids,
        user_id=tags.get("user_id"),
        trace=seen.trace,
        request=None if seen.request is None else describe_request(seen.request, redactor),
        route=None if seen.request is None else route_of(seen.request),
        sdk=clean_values(sdk, redactor),
        error=seen.error,
    )


def _tags(seen: Observation, service: str, redactor: Redactor) -> dict[str, str]:
    values = {**seen.context, **{name: seen.value(name) for name in seen.point.tags}}
    tags = {"service": service, "monitoring_point": seen.point.id}
    for name, value in values.items():
        text = "" if value is None else tag_text(value, redactor)
        if text:
            tags[name] = text
    return tags


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


def _breadcrumbs(
    seen: Observation, sdk: SdkValues, window: OccurrenceWindow, redactor: Redactor
) -> tuple[Breadcrumb, ...]:
    """Return the last breadcrumbs of both kinds, oldest first."""
    crumbs = [*seen.breadcrumbs, *(breadcrumb_of(crumb, window.last_seen) for crumb in sdk.breadcrumbs)]
    newest = sorted(crumbs, key=lambda crumb: crumb.at)[-MAX_BREADCRUMBS:]
    return tuple(
        replace(
            crumb,
            message=cut(redactor.text(crumb.message)),
            category=redactor.text(crumb.category),
            data=plain_data(crumb.data, redactor),
        )
        for crumb in newest
    )
