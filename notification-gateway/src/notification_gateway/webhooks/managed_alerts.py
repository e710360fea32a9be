"""Parses Alertmanager's alerts one by one into signals; no HTTP, no database."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from contracts.moments import ClampedMoment
from contracts.severities import parse_severity
from contracts.signals import MAX_FINGERPRINT_PART_CHARS, MAX_TAG_CHARS, MAX_TAG_NAME_CHARS, AlertSignal, Level
from contracts.text import LabelText, MachineText, escape_text, repair_text
from notification_gateway.incidents.endings import ALERTMANAGER_POINT, STARTS_AT
from notification_gateway.unreadable import first_problem

MAX_MESSAGE_CHARS = 2000
MAX_NAME_CHARS = 64
# An alert with a missing or unknown severity may be an outage.
UNKNOWN_SEVERITY: Level = "error"


def _as_text(value: object) -> str:
    """Return a value as text: some relays send numbers without quotes."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def _as_texts(value: object) -> object:
    if value is None:
        return {}
    return {name: _as_text(held) for name, held in value.items()} if isinstance(value, dict) else value


def _as_lower_case(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


_Text = BeforeValidator(_as_text)
_Labels = Annotated[
    dict[Annotated[str, LabelText(MAX_TAG_NAME_CHARS)], Annotated[str, LabelText(MAX_TAG_CHARS)]],
    BeforeValidator(_as_texts),
]
_Annotations = Annotated[
    dict[Annotated[str, LabelText(MAX_TAG_NAME_CHARS)], Annotated[str, MachineText(MAX_MESSAGE_CHARS)]],
    BeforeValidator(_as_texts),
]


class ManagedAlert(BaseModel):
    """One alert of the payload; other fields are ignored."""

    status: Annotated[
        Literal["firing", "resolved"],
        BeforeValidator(_as_lower_case),
        Field(description="Whether the alert goes on", examples=["firing"]),
    ]
    labels: Annotated[
        _Labels,
        Field(
            description="Labels; `alertname`, `severity`, `service` and `environment` have a meaning here",
            examples=[{"alertname": "InstanceDown", "severity": "critical"}],
        ),
    ] = {}
    annotations: Annotated[
        _Annotations,
        Field(
            description="Annotations; `summary` or `description` becomes the message",
            examples=[{"summary": "api-0 is down"}],
        ),
    ] = {}
    starts_at: Annotated[
        ClampedMoment | None,
        Field(
            alias="startsAt",
            description="When it began; a later one is a new episode",
            examples=["2026-11-24T03:10:00Z"],
        ),
    ] = None
    ends_at: Annotated[ClampedMoment | None, Field(alias="endsAt", description="When it ended")] = None
    generator_url: Annotated[
        str,
        LabelText(MAX_TAG_CHARS),
        _Text,
        Field(alias="generatorURL", description="Link to its source", examples=[""]),
    ] = ""
    fingerprint: Annotated[
        str,
        LabelText(MAX_FINGERPRINT_PART_CHARS),
        _Text,
        Field(description="Identity of the alert; without one, its labels", examples=["a1b2c3d4e5f60718"]),
    ] = ""


@dataclass(frozen=True, slots=True)
class UnreadableAlert:
    """An alert that can't be read: which one, the field at fault (empty: all of it), and the problem in words."""

    position: int
    field: str
    problem: str


def read_alerts(values: Sequence[object], environment: str, now: datetime) -> list[AlertSignal | UnreadableAlert]:
    """Return the signal of each alert, or why it is unreadable; `environment` is the default."""
    return [_read_alert(position, value, environment, now) for position, value in enumerate(values)]


def signal_of(alert: ManagedAlert, environment: str, now: datetime) -> AlertSignal:
    """Return the signal of an alert; the same alert in a later minute (a reminder) gets another signal id."""
    name = alert.labels.get("alertname") or "unnamed"
    identity = alert.fingerprint or hashlib.sha256(repr(sorted(alert.labels.items())).encode()).hexdigest()[:16]
    started = "" if alert.starts_at is None else alert.starts_at.isoformat()
    occasion = f"{identity} {alert.status} {started} {now:%Y-%m-%dT%H:%M}"
    summary = alert.annotations.get("summary") or alert.annotations.get("description") or name
    ended = alert.status == "resolved"
    last_seen = min(alert.ends_at or now, now) if ended else now
    return AlertSignal(
        signal_id=hashlib.sha256(occasion.encode()).hexdigest(),
        kind="recovered" if ended else "fired",
        monitoring_point=ALERTMANAGER_POINT,
        fingerprint=["alertmanager", name, identity],
        level=parse_severity(alert.labels.get("severity", "")) or UNKNOWN_SEVERITY,
        category="alertmanager",
        service=escape_text(alert.labels.get("service") or alert.labels.get("job") or "prometheus", MAX_NAME_CHARS),
        environment=escape_text(alert.labels.get("environment") or environment, MAX_NAME_CHARS),
        message=repair_text(f"{name}: {summary}", MAX_MESSAGE_CHARS),
        first_seen=min(alert.starts_at or now, last_seen),
        last_seen=last_seen,
        tags=alert.labels
        | ({"generator_url": alert.generator_url} if alert.generator_url else {})
        | ({STARTS_AT: alert.starts_at.astimezone(UTC).isoformat()} if alert.starts_at else {}),
    )


def _read_alert(position: int, value: object, environment: str, now: datetime) -> AlertSignal | UnreadableAlert:
    try:
        return signal_of(ManagedAlert.model_validate(value), environment, now)
    except ValidationError as error:
        location: tuple[Any, ...] = error.errors(include_url=False, include_context=False, include_input=False)[0][
            "loc"
        ]
        field = str(location[0]) if location else ""
        return UnreadableAlert(position, field, first_problem(error))
