"""Replays stored signals in memory, with the gateway's own policy and incident code."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import chain

from contracts.signals import AlertSignal
from notification_gateway.delivery.routing import route
from notification_gateway.incidents.book import Firing, IncidentBook
from notification_gateway.incidents.causes import (
    GRACE,
    causes_of_symptom,
    explained_until,
    regroup,
    symptom_name,
    symptom_points,
)
from notification_gateway.incidents.endings import ending_of, equivalent_points
from notification_gateway.incidents.model import QUIET, VERIFY, Incident
from notification_gateway.policy.evaluation import Decision, decide
from notification_gateway.policy.matching import Subject
from notification_gateway.policy.model import Policy
from notification_gateway.replay.occurrences import RecentOccurrences
from notification_gateway.replay.stored_signals import StoredSignal
from notification_gateway.summaries.periods import Periods

# With a shorter window a signal would be dropped as soon as it is counted.
MIN_WINDOW = timedelta(minutes=1)


@dataclass(frozen=True, order=True)
class Fault:
    """The fields that incidents of one fault share."""

    environment: str
    service: str
    monitoring_point: str
    fingerprint: tuple[str, ...]


@dataclass(frozen=True)
class ReplayedNotification:
    """One message about a fault, or one entry in a summary; `alert` is the kind of the summary or of the message."""

    at: datetime
    fault: Fault
    incident: int
    priority: str
    rule: str | None
    alert: str
    channel: str


def simulate(
    policy: Policy, stored: Iterable[StoredSignal], since: datetime, until: datetime, periods: Periods
) -> list[ReplayedNotification]:
    """Return the notifications since `since`; earlier signals only set the state.

    Actions of people (acknowledge, silence, close) are not replayed, so there are no escalations and reminders.
    """
    replay = Replay(policy, periods)
    for each in stored:
        replay.apply_signal(each.signal, each.received_at)
    replay.pass_time(until)
    return [each for each in replay.notifications if each.at >= since]


class Replay:
    """The incidents under one policy. Signals are applied in the order of arrival."""

    def __init__(self, policy: Policy, periods: Periods) -> None:
        self._policy = policy
        self._periods = periods
        # A recovery ends only incidents of equivalent points, so they share a book.
        self._books: dict[tuple[str, ...], IncidentBook] = {}
        self._occurrences = RecentOccurrences(max(policy.longest_window(), MIN_WINDOW))
        self._incidents: list[Incident] = []
        # When an incident may end by quiet; most entries are outdated by then, because it fired again.
        self._quiet_ends: list[tuple[datetime, int]] = []
        # Ids of incidents that another incident explains.
        self._symptoms: set[int] = set()
        self._messages: dict[int, list[ReplayedNotification]] = {}
        self._summarized: dict[tuple[object, ...], ReplayedNotification] = {}

    @property
    def notifications(self) -> Iterator[ReplayedNotification]:
        """All messages and entries in summaries."""
        yield from chain.from_iterable(self._messages.values())
        yield from self._summarized.values()

    def apply_signal(self, signal: AlertSignal, now: datetime) -> None:
        """Apply a signal that arrived at `now`."""
        self.pass_time(now)
        book = self._book(signal.monitoring_point)
        if signal.kind == "recovered":
            for incident in book.apply_recovered(signal, now):
                self._notify_resolved(incident, now)
            return
        self._occurrences.count_signal(signal, now)
        count = partial(self._occurrences.count_matching, signal.environment)
        decision = decide(self._policy, Subject.of(signal), count)
        firing = book.apply_fired(signal, decision, now)
        incident = firing.incident
        if firing.opened:
            self._incidents.append(incident)
            incident.id = len(self._incidents)
        if firing.reopened:
            self._withdraw(incident, "resolved", now)
        self._group(firing, now)
        if incident.state == "open":
            heappush(self._quiet_ends, (now + QUIET, incident.id))
            self._notify_fired(firing, decision, now)

    def pass_time(self, now: datetime) -> None:
        """Apply what is due by time alone: ends by quiet, and released symptoms."""
        self._end_quiet(now)
        self._release_symptoms(now)

    def _end_quiet(self, now: datetime) -> None:
        while self._quiet_ends and self._quiet_ends[0][0] <= now:
            end, incident_id = heappop(self._quiet_ends)
            incident = self._incidents[incident_id - 1]
            if (
                incident.state == "open"
                and incident.last_signal_at + QUIET <= end
                and ending_of(incident) == "by_quiet"
            ):
                incident.resolve("quiet", end)
                self._notify_resolved(incident, end)

    def _release_symptoms(self, now: datetime) -> None:
        """Ungroup each symptom that outlives its cause, and notify of it."""
        for incident_id in sorted(self._symptoms):
            incident = self._incidents[incident_id - 1]
            if incident.state != "open" or incident.parent_id is None:
                self._symptoms.discard(incident_id)
                continue
            due = explained_until(self._incidents[incident.parent_id - 1], incident)
            if due is None or due >= now:
                continue
            self._symptoms.discard(incident_id)
            incident.ungroup(due)
            quiet_until = self._policy.quiet_until(incident.rule, due) or due
            for action in self._policy.actions_of(incident.rule, incident.priority):
                alert, channel = route(incident, action.alert, action.channel)
                if alert == "immediate":
                    self._notify_opened(incident, channel, quiet_until, quiet_until)

    def _book(self, monitoring_point: str) -> IncidentBook:
        return self._books.setdefault(equivalent_points(monitoring_point), IncidentBook({}))

    def _group(self, firing: Firing, now: datetime) -> None:
        """Put a symptom under its cause, and earlier symptoms under a new cause."""
        incident = firing.incident
        near = causes_of_symptom(symptom_name(incident)) | symptom_points(incident.monitoring_point)
        candidates = [each for point in sorted(near) for each in self._book(point).incidents]
        for grouped in regroup(firing, candidates, now):
            self._withdraw_opened(grouped, now)
            self._symptoms.add(grouped.id)

    def _notify_fired(self, firing: Firing, decision: Decision, now: datetime) -> None:
        incident = firing.incident
        if incident.environment == VERIFY:
            return
        if firing.new_episode and incident.parent_id is None:
            waiting = {each.channel for each in self._sent_about(incident, ("opened", "repeated")) if each.at > now}
            for channel in incident.notified:
                if channel not in waiting:
                    self._send(incident, "repeated", channel, now)
        for action in decision.actions:
            alert, channel = route(incident, action.alert, action.channel)
            if alert != "immediate":
                place = (alert, channel, self._periods.start(alert, now), incident.id)
                by = (decision.priority, decision.rule)
                entry = ReplayedNotification(now, _fault(incident), incident.id, *by, alert, channel)
                self._summarized.setdefault(place, entry)
            elif incident.parent_id is None:
                quiet_until = (decision.quiet_hours.until(now) if decision.quiet_hours is not None else None) or now
                self._notify_opened(incident, channel, quiet_until, now)

    def _notify_opened(self, incident: Incident, channel: str, quiet_until: datetime, now: datetime) -> None:
        """Notify a channel that has not announced the incident yet; `quiet_until` is the end of quiet hours."""
        if channel in (*incident.notified, "dashboard"):
            return
        incident.notified = [*incident.notified, channel]
        # A symptom waits for its cause; in quiet hours a message waits for their end.
        may_be_explained = incident.priority != "P0" and causes_of_symptom(symptom_name(incident))
        self._send(incident, "opened", channel, max(now + GRACE if may_be_explained else now, quiet_until))

    def _notify_resolved(self, incident: Incident, now: datetime) -> None:
        for channel in incident.notified:
            self._send(incident, "resolved", channel, now + incident.resolved_hold)

    def _send(self, incident: Incident, kind: str, channel: str, due: datetime) -> None:
        by = (incident.priority, incident.rule)
        message = ReplayedNotification(due, _fault(incident), incident.id, *by, kind, channel)
        self._messages.setdefault(incident.id, []).append(message)

    def _sent_about(self, incident: Incident, kinds: Sequence[str]) -> list[ReplayedNotification]:
        return [each for each in self._messages.get(incident.id, ()) if each.alert in kinds]

    def _withdraw(self, incident: Incident, kind: str, now: datetime) -> list[ReplayedNotification]:
        """Withdraw the unsent messages of a kind, and return them."""
        withdrawn = [each for each in self._sent_about(incident, (kind,)) if each.at > now]
        self._messages[incident.id] = [each for each in self._messages.get(incident.id, ()) if each not in withdrawn]
        return withdrawn

    def _withdraw_opened(self, incident: Incident, now: datetime) -> None:
        withdrawn = {each.channel for each in self._withdraw(incident, "opened", now)}
        incident.notified = [each for each in incident.notified if each not in withdrawn]


def _fault(incident: Incident) -> Fault:
    return Fault(incident.environment, incident.service, incident.monitoring_point, tuple(incident.fingerprint))
