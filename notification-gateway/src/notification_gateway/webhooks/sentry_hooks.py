"""Parses Sentry's hooks into signals; no HTTP, no database."""

import hashlib
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import NAMESPACE_OID, uuid5

from pydantic import BaseModel, BeforeValidator, Field

from contracts.severities import parse_severity
from contracts.signals import (
    MAX_FINGERPRINT_PART_CHARS,
    MAX_FINGERPRINT_PARTS,
    MAX_TAG_CHARS,
    MAX_TAG_NAME_CHARS,
    AlertSignal,
    Level,
)
from contracts.text import LabelText, MachineText, escape_text
from notification_gateway.incidents.endings import SENTRY_POINT
from notification_gateway.policy.categories import category_of

CATEGORY = "sentry"
MAX_MESSAGE_CHARS = 2000
MAX_NAME_CHARS = 64
MAX_POINT_CHARS = 128
# An alert with a missing or unknown level may be an outage.
UNKNOWN_LEVEL: Level = "error"
_ENDED = frozenset({"resolved", "ignored", "archived"})
# Actions that don't change the state of the issue.
_IGNORED_ISSUE_ACTIONS = frozenset({"assigned", "unassigned"})
# Sentry's resources that are not alerts: https://docs.sentry.io/organization/integrations/integration-platform/webhooks/
_IGNORED_RESOURCES = frozenset({"installation", "error", "comment", "seer", "preprod_artifact"})
# The placeholder for Sentry's own grouping in a fingerprint.
_DEFAULT = "{{ default }}"


def _as_id(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_text(value: object) -> str:
    """Return the text of a descriptive field; an invalid value becomes empty, so that the alert is still accepted."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _as_names(value: object) -> list[str]:
    return [name for each in value if (name := _as_text(each))] if isinstance(value, list) else []


def _as_parts(value: object) -> object:
    return [_as_text(part) for part in value] if isinstance(value, list) else None


def _as_event_id(value: object) -> object:
    return value.replace("-", "").lower() if isinstance(value, str) else value


def _as_slug(value: object) -> str:
    return _as_text(value.get("slug") if isinstance(value, dict) else value)


def _as_tags(value: object) -> dict[str, str]:
    """Return tags, given as a mapping, as pairs or as `{"key", "value"}`; anything else is left out."""
    if isinstance(value, dict):
        pairs: list[Any] = list(value.items())
    else:
        listed = value if isinstance(value, list) else []
        pairs = [(each.get("key"), each.get("value")) if isinstance(each, dict) else each for each in listed]
    valid = (pair for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2)
    return {_as_text(name): _as_text(held) for name, held in valid if _as_text(name)}


_Id = Annotated[str, LabelText(MAX_FINGERPRINT_PART_CHARS, min_chars=1), BeforeValidator(_as_id)]
_Name = Annotated[str, LabelText(MAX_NAME_CHARS), BeforeValidator(_as_text)]
_Message = Annotated[str, MachineText(MAX_MESSAGE_CHARS), BeforeValidator(_as_text)]
_Url = Annotated[str, LabelText(MAX_TAG_CHARS), BeforeValidator(_as_text)]
_Slug = Annotated[str, LabelText(MAX_NAME_CHARS), BeforeValidator(_as_slug)]
_Tags = Annotated[
    dict[Annotated[str, LabelText(MAX_TAG_NAME_CHARS)], Annotated[str, LabelText(MAX_TAG_CHARS)]],
    BeforeValidator(_as_tags),
]


class _Issue(BaseModel):
    id: _Id
    title: _Message = ""
    level: _Name = ""
    project: _Slug = ""
    web_url: _Url = ""


class _MetricAlert(BaseModel):
    id: _Id
    title: _Message = ""
    projects: Annotated[list[_Name], BeforeValidator(_as_names)] = []


class _Event(BaseModel):
    event_id: Annotated[str, BeforeValidator(_as_event_id), Field(pattern="^[0-9a-f]{32}$")]
    title: _Message = ""
    level: _Name = ""
    fingerprint: Annotated[
        list[Annotated[str, LabelText(MAX_FINGERPRINT_PART_CHARS)]] | None, BeforeValidator(_as_parts)
    ] = None
    issue_id: Annotated[_Id | None, Field()] = None
    tags: _Tags = {}
    web_url: _Url = ""


class _Hook(BaseModel):
    action: _Name = ""
    data: dict[str, Any]


class _IssueData(BaseModel):
    issue: _Issue


class _MetricData(BaseModel):
    metric_alert: _MetricAlert
    description_title: _Message = ""
    web_url: _Url = ""


class _EventData(BaseModel):
    event: _Event
    triggered_rule: _Message = ""


class _IssueHook(BaseModel):
    data: _IssueData


class _MetricHook(BaseModel):
    data: _MetricData


class _EventHook(BaseModel):
    data: _EventData


class UnknownResourceError(ValueError):
    """The hook's resource is unknown or missing: notify people, since it may have been an alert."""


def signal_of(resource: str, payload: object, body: bytes, environment: str, now: datetime) -> AlertSignal | None:
    """Return the signal of a hook, or None if it isn't an alert.

    Raises `ValidationError` and `UnknownResourceError`.
    """
    action = _Hook.model_validate(payload).action.casefold()
    # A hook that is sent again has the same signal id.
    signal_id = hashlib.sha256(body).hexdigest()
    match resource.casefold():
        case "event_alert":
            return _of_event(_EventHook.model_validate(payload).data, environment, now)
        case "metric_alert":
            return _of_metric(_MetricHook.model_validate(payload).data, action, signal_id, environment, now)
        case "issue" if action in _IGNORED_ISSUE_ACTIONS:
            return None
        case "issue":
            return _of_issue(_IssueHook.model_validate(payload).data.issue, action, signal_id, environment, now)
        case ignored if ignored in _IGNORED_RESOURCES:
            return None
    raise UnknownResourceError("unknown resource: no signal was created from it")


def _kind(action: str) -> Literal["fired", "recovered"]:
    # Any action except an end is an alert.
    return "recovered" if action in _ENDED else "fired"


def _level(word: str) -> Level:
    return parse_severity(word) or UNKNOWN_LEVEL


def _of_issue(issue: _Issue, action: str, signal_id: str, environment: str, now: datetime) -> AlertSignal:
    return _signal(
        signal_id,
        now,
        fingerprint=["sentry", "issue", issue.id],
        level=_level(issue.level),
        kind=_kind(action),
        service=issue.project or CATEGORY,
        environment=environment,
        message=issue.title or f"issue {issue.id}",
        tags=_link(issue.web_url),
    )


def _of_metric(data: _MetricData, action: str, signal_id: str, environment: str, now: datetime) -> AlertSignal:
    return _signal(
        signal_id,
        now,
        fingerprint=["sentry", "metric_alert", data.metric_alert.id],
        level=_level(action),
        kind=_kind(action),
        service=next(iter(data.metric_alert.projects), "") or CATEGORY,
        environment=environment,
        message=data.description_title or data.metric_alert.title or "metric alert",
        tags=_link(data.web_url),
    )


def _of_event(data: _EventData, environment: str, now: datetime) -> AlertSignal:
    event, tags = data.event, data.event.tags
    fingerprint = event.fingerprint or [_DEFAULT]
    if fingerprint == [_DEFAULT]:
        fingerprint = ["sentry", "event", event.issue_id or "unknown"]
    point = tags.get("monitoring_point")
    return _signal(
        # The same signal id as that of monitoring's own signal for the event.
        uuid5(NAMESPACE_OID, event.event_id).hex,
        now,
        event_id=event.event_id,
        monitoring_point=escape_text(point, MAX_POINT_CHARS) if point else SENTRY_POINT,
        category=escape_text(category_of(point, fingerprint), MAX_NAME_CHARS) if point else CATEGORY,
        fingerprint=_bounded(fingerprint),
        level=_level(event.level),
        kind="fired",
        service=escape_text(tags.get("service") or CATEGORY, MAX_NAME_CHARS),
        environment=escape_text(tags.get("environment") or environment, MAX_NAME_CHARS),
        message=event.title or data.triggered_rule or "event alert",
        tags=_link(event.web_url) | tags,
    )


def _signal(signal_id: str, now: datetime, **fields: Any) -> AlertSignal:
    defaults = {
        "signal_id": signal_id,
        "monitoring_point": SENTRY_POINT,
        "category": CATEGORY,
        "first_seen": now,
        "last_seen": now,
    }
    return AlertSignal.model_validate(defaults | fields)


def _bounded(parts: list[str]) -> list[str]:
    """Return a fingerprint of at most `MAX_FINGERPRINT_PARTS` parts: the rest is joined, so it stays unique."""
    if len(parts) <= MAX_FINGERPRINT_PARTS:
        return parts
    rest = escape_text(" / ".join(parts[MAX_FINGERPRINT_PARTS - 1 :]), MAX_FINGERPRINT_PART_CHARS)
    return [*parts[: MAX_FINGERPRINT_PARTS - 1], rest]


def _link(url: str) -> dict[str, str]:
    return {"url": url} if url else {}
