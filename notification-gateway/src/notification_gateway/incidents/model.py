"""An incident and its state changes; no database access, and the time is an argument."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contracts.signals import AlertSignal, Level
from notification_gateway.incidents.endings import (
    ALERTMANAGER_POINT,
    episode_of,
    is_ended_by_its_service,
    is_new_episode,
)
from notification_gateway.incidents.states import ChangeKind, Resolution, State
from notification_gateway.policy.evaluation import Decision
from notification_gateway.policy.model import Priority

QUIET = timedelta(minutes=15)
# An open incident without a signal for so long is abandoned.
ABANDONED = timedelta(days=30)
# How long the message about the end waits. If the fault returns meanwhile, it is not sent: flapping is one incident.
RESOLVED_HOLD = timedelta(seconds=30)
# Longer if another service reported the recovery: the one that failed may still report the fault.
OTHERS_RESOLVED_HOLD = timedelta(seconds=90)
MAX_REQUEST_IDS = 10
# In a recovery's fingerprint: matches any part, since the sender may not know it any more.
ANY_PART = "*"
VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of an incident's timeline. An empty `actor` means the gateway itself."""

    at: datetime
    kind: ChangeKind
    actor: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """The number of incidents of one key in some time, and of their occurrences."""

    incidents: int
    occurrences: int


def incident_key(environment: str, service: str, fingerprint: Sequence[str]) -> str:
    """Return the hash that all signals of one incident share."""
    return hashlib.sha256(json.dumps([environment, service, list(fingerprint)]).encode()).hexdigest()


@dataclass(slots=True)
class Incident:
    """The state of an incident; `id` is 0 until it is stored.

    `last_seen` is by the sender's clock; `last_signal_at` and `resolved_at` are by the gateway's.
    `parent_id` is the incident that explains it, or that the person `grouped_by` put it under.
    `closed_by` is the person who closed it, or the other service that reported the recovery.
    `notified_at` is the time of the first immediate message. `changes` are those that are not stored yet.
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
    notified_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    escalated_at: datetime | None = None
    last_notified_at: datetime | None = None
    episode: str = ""
    assignee: str | None = None
    parent_id: int | None = None
    grouped_by: str | None = None
    closed_by: str | None = None
    changes: list[Change] = field(default_factory=list, compare=False)

    @classmethod
    def open_from(cls, signal: AlertSignal, decision: Decision, now: datetime) -> "Incident":
        """Return the incident that a signal opens."""
        opened = cls(
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
            episode=episode_of(signal),
        )
        opened._change(now, "opened", detail=signal.message)
        return opened

    def accepts(self, signal: AlertSignal, now: datetime) -> bool:
        """Say whether a fired signal belongs to this incident. If not, it opens a new one."""
        if self.state == "open" or not self._is_newer(signal):
            return True
        return self.resolved_at is not None and now < self.resolved_at + self.resolved_hold

    @property
    def resolved_hold(self) -> timedelta:
        """How long the message about the end waits, in case the fault returns."""
        seen_by_another = self.resolution == "recovered" and self.closed_by is not None
        return OTHERS_RESOLVED_HOLD if seen_by_another else RESOLVED_HOLD

    def add_signal(self, signal: AlertSignal, decision: Decision, now: datetime) -> bool:
        """Add a fired signal; one that is newer than the end of the incident reopens it.

        Returns whether it begins a new episode: another run, deployment, or start of an alert.
        """
        if self.state == "resolved" and self._is_newer(signal):
            self._open_again()
            self._change(now, "reopened", detail="it happened again")
        episode = episode_of(signal)
        begins = self.state == "open" and is_new_episode(self.monitoring_point, self.episode, episode)
        if begins:
            self._change(now, "new_episode", detail=episode)
        if begins or not self.episode:
            self.episode = episode
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
            self._change(now, "raised", detail=f"{self.priority} to {decision.priority}: {decision.reason}")
            self.priority, self.rule, self.reason = decision.priority, decision.rule, decision.reason
            # The acknowledgement was for a lower priority.
            self.acknowledged_at, self.acknowledged_by = None, None
        return begins

    def is_ended_by(self, signal: AlertSignal) -> bool:
        """Say whether a recovery matches this incident and is not older than its last signal."""
        return (
            self.environment == signal.environment
            and len(self.fingerprint) == len(signal.fingerprint)
            and all(part in (ANY_PART, own) for part, own in zip(signal.fingerprint, self.fingerprint, strict=True))
            and self._is_current(signal)
        )

    def recover(self, signal: AlertSignal, now: datetime) -> None:
        """Resolve the incident by a recovery; only one of the same service, with the same clock, sets `last_seen`."""
        if signal.service == self.service:
            self.resolve("recovered", now, signal.last_seen)
        else:
            self.resolve("recovered", now, by=signal.service)
        if is_new_episode(self.monitoring_point, self.episode, episode := episode_of(signal)):
            # The end arrived before the start.
            self.episode = episode

    @property
    def is_closed_by_person(self) -> bool:
        """Whether a person closed it."""
        return self.resolution in ("closed", "false_alarm")

    def acknowledge(self, by: str, now: datetime) -> None:
        """Record who takes care of it; only the first acknowledgement counts."""
        if self.acknowledged_at is None:
            self.acknowledged_at, self.acknowledged_by = now, by
            self._change(now, "acknowledged", by)

    def assign(self, assignee: str, by: str, now: datetime) -> None:
        """Record who is to take care of it."""
        if assignee != self.assignee:
            self.assignee = assignee
            self._change(now, "assigned", by, assignee)

    def comment(self, text: str, by: str, now: datetime) -> None:
        """Add a comment to the timeline."""
        self._change(now, "commented", by, text)

    def group_under(self, parent_id: int, now: datetime, by: str | None = None) -> None:
        """Put it under another incident, which explains it (`by` is None) or which a person chose."""
        self.parent_id, self.grouped_by = parent_id, by
        self._change(now, "grouped", by or "", f"#{parent_id}")

    def ungroup(self, now: datetime, by: str | None = None) -> None:
        """Remove it from its parent incident."""
        if self.parent_id is not None:
            self._change(now, "ungrouped", by or "", f"#{self.parent_id}")
            self.parent_id, self.grouped_by = None, None

    def resolve(
        self, resolution: Resolution, now: datetime, seen: datetime | None = None, by: str = "", detail: str = ""
    ) -> None:
        """End the incident. `seen` is the time of its end by the sender's clock; `by` becomes `closed_by`."""
        self.state, self.resolution, self.resolved_at = "resolved", resolution, now
        self.closed_by = by or None
        if seen is not None:
            self.last_seen = max(self.last_seen, seen)
        self._change(now, "resolved", by, f"{resolution}: {detail}" if detail else resolution)

    def mark_false_alarm(self, by: str, now: datetime) -> None:
        """Record that an incident that has ended was a false alarm."""
        self.resolution, self.closed_by = "false_alarm", by
        self._change(now, "marked", by, "false_alarm")

    def reopen(self, by: str, now: datetime) -> None:
        """Reopen a resolved incident; its acknowledgement is removed."""
        self._open_again()
        self.last_signal_at = now
        self.acknowledged_at = self.acknowledged_by = self.escalated_at = None
        # Escalation and reminders count from now.
        self.notified_at = now if self.notified else None
        self.last_notified_at = now
        self._change(now, "reopened", by)

    def record(self, kind: ChangeKind, now: datetime, detail: str = "") -> None:
        """Record in the timeline what the gateway did."""
        self._change(now, kind, detail=detail)

    def _open_again(self) -> None:
        self.state, self.resolved_at, self.resolution, self.closed_by = "open", None, None, None

    def _is_newer(self, signal: AlertSignal) -> bool:
        """Say whether a fired signal is newer than the end of the incident."""
        is_same_episode = bool(self.episode) and episode_of(signal) == self.episode
        if self.resolution == "false_alarm" and is_same_episode:
            # Its source repeats an alert that a person has called false.
            return False
        if self.monitoring_point == ALERTMANAGER_POINT and is_same_episode and self.resolved_at:
            # Alertmanager may send the end while the gateway still processes an earlier webhook.
            return signal.last_seen > self.resolved_at
        return signal.last_seen > self.last_seen

    def _is_current(self, signal: AlertSignal) -> bool:
        if self.monitoring_point == ALERTMANAGER_POINT:
            # The end of an earlier episode may arrive after the start of this one, so times are compared. Two servers
            # may give different start times for the same alert, and a clock may be ahead.
            return episode_of(signal) == self.episode or signal.last_seen >= self._last_start()
        if self.service == signal.service:
            return signal.last_seen >= self.last_seen
        return not is_ended_by_its_service(self.monitoring_point)

    def _last_start(self) -> datetime:
        """Return the start of the current episode, or the last signal's time if the sender's clock is ahead."""
        return min(datetime.fromisoformat(self.episode), self.last_signal_at) if self.episode else self.opened_at

    def _change(self, at: datetime, kind: ChangeKind, actor: str = "", detail: str = "") -> None:
        self.changes.append(Change(at, kind, actor, detail))
