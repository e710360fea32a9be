"""An incident and how it grows; knows neither database nor clock."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from contracts.signals import AlertSignal, Level
from notification_gateway.policy.evaluation import Decision
from notification_gateway.policy.model import Priority

QUIET = timedelta(minutes=15)
# "It is over" waits so long, and is not said when the fault comes back meanwhile: a flapping fault is one incident.
RESOLVED_HOLD = timedelta(seconds=30)
MAX_REQUEST_IDS = 10
# In a recovery's fingerprint: a part that the sender can't know any more.
ANY_PART = "*"
VERIFY = "verify"

State = Literal["open", "resolved"]
Resolution = Literal["recovered", "quiet"]


@dataclass(frozen=True, slots=True)
class History:
    """How often the same thing happened in some time."""

    incidents: int
    occurrences: int


def incident_key(environment: str, service: str, fingerprint: Sequence[str]) -> str:
    """Return what signals of one incident share."""
    return hashlib.sha256(json.dumps([environment, service, list(fingerprint)]).encode()).hexdigest()


@dataclass(slots=True)
class Incident:
    """The state of an incident; `id` is 0 until it is stored.

    `last_seen` is by the clock of the sender, `last_signal_at` and `resolved_at` are by the gateway's.
    """

    id: int
    key: str
    environment: str
    service: str
    fingerprint: list[str]
    monitoring_point: str
    level: Level
    category: str
    message: str
    priority: Priority
    rule: str | None
    reason: str
    state: State
    resolution: Resolution | None
    opened_at: datetime
    first_seen: datetime
    last_seen: datetime
    last_signal_at: datetime
    resolved_at: datetime | None
    occurrences: int
    signals: int
    request_ids: list[str]
    tags: dict[str, str]
    event_id: str | None
    notified: list[str]
    silence_id: int | None
    told_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    escalated_at: datetime | None = None

    @classmethod
    def opened_by(cls, signal: AlertSignal, decision: Decision, now: datetime) -> "Incident":
        """Return the incident that a signal begins."""
        return cls(
            id=0,
            key=incident_key(signal.environment, signal.service, signal.fingerprint),
            environment=signal.environment,
            service=signal.service,
            fingerprint=list(signal.fingerprint),
            monitoring_point=signal.monitoring_point,
            level=signal.level,
            category=signal.category,
            message=signal.message,
            priority=decision.priority,
            rule=decision.rule,
            reason=decision.reason,
            state="open",
            resolution=None,
            opened_at=now,
            first_seen=signal.first_seen,
            last_seen=signal.last_seen,
            last_signal_at=now,
            resolved_at=None,
            occurrences=signal.occurrences,
            signals=1,
            request_ids=list(signal.request_ids[:MAX_REQUEST_IDS]),
            tags=dict(signal.tags),
            event_id=signal.event_id,
            notified=[],
            silence_id=None,
        )

    def takes(self, signal: AlertSignal, now: datetime) -> bool:
        """Say whether a fired signal belongs to this incident, and not to a new one."""
        if self.state == "open" or signal.last_seen <= self.last_seen:
            return True
        return self.resolved_at is not None and now < self.resolved_at + RESOLVED_HOLD

    def add(self, signal: AlertSignal, decision: Decision, now: datetime) -> None:
        """Count a signal; one that is newer than the end of the incident opens it again."""
        if self.state == "resolved" and signal.last_seen > self.last_seen:
            self.state, self.resolved_at, self.resolution = "open", None, None
        self.occurrences += signal.occurrences
        self.signals += 1
        self.first_seen = min(self.first_seen, signal.first_seen)
        self.request_ids = [*self.request_ids, *signal.request_ids][:MAX_REQUEST_IDS]
        if self.state == "open":
            self.last_signal_at = now
        if signal.last_seen >= self.last_seen:
            self.last_seen = signal.last_seen
            self.message = signal.message
            self.level = signal.level
            self.event_id = signal.event_id or self.event_id
        # "none" is past P2 in the alphabet too.
        if decision.priority < self.priority:
            self.priority, self.rule, self.reason = decision.priority, decision.rule, decision.reason
            # Whoever took care of it did so for something less.
            self.acknowledged_at, self.acknowledged_by = None, None

    def ended_by(self, signal: AlertSignal) -> bool:
        """Say whether a recovery is this incident's."""
        return (
            self.environment == signal.environment
            and self.service == signal.service
            and len(self.fingerprint) == len(signal.fingerprint)
            and all(told in (ANY_PART, part) for told, part in zip(signal.fingerprint, self.fingerprint, strict=True))
        )

    def acknowledge(self, by: str, now: datetime) -> None:
        """Write down who takes care of it; the first one counts."""
        if self.acknowledged_at is None:
            self.acknowledged_at, self.acknowledged_by = now, by

    def resolve(self, resolution: Resolution, now: datetime, seen: datetime | None = None) -> None:
        """End the incident; `seen` is when it was over by the sender's clock."""
        self.state, self.resolution, self.resolved_at = "resolved", resolution, now
        if seen is not None:
            self.last_seen = max(self.last_seen, seen)
