"""Writes the notifications and summary entries of an incident, in the transaction of the change that causes them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from notification_gateway.delivery.routing import exclude_broken_channel, route
from notification_gateway.incidents import queries as incidents
from notification_gateway.incidents.book import Firing
from notification_gateway.incidents.causes import GRACE, causes_of_symptom, symptom_name
from notification_gateway.incidents.model import VERIFY, Incident
from notification_gateway.messages.composer import Composer
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import Kind, NewNotification
from notification_gateway.outbox.notice import Notice
from notification_gateway.policy.evaluation import Decision
from notification_gateway.policy.model import Action, Alert, Channel
from notification_gateway.policy.quiet_hours import QuietHours
from notification_gateway.summaries.periods import PeriodStart
from notification_gateway.summaries.queries import Period, add_reminder

DAY = timedelta(days=1)


class IncidentNotifier:
    """`period_start` returns the start of a summary's current period; `mention` names whom to mention by default."""

    def __init__(self, composer: Composer, period_start: PeriodStart, mention: tuple[str, ...] = ()) -> None:
        self._mention = mention
        self._composer = composer
        self._period_start = period_start

    def notify_fired(self, connection: Connection, firing: Firing, decision: Decision, now: datetime) -> None:
        """Notify of a fired signal as its actions say, unless silenced; `summaries.counting` counts it into summaries.

        An immediate message goes out for the first signal of an incident, and when a new run, deployment or episode
        begins. An incident that another one explains goes into summaries only.
        """
        incident = firing.incident
        if incident.state != "open" or incident.silence_id is not None:
            return
        due = _due(decision.quiet_hours, now)
        if firing.new_episode and incident.parent_id is None:
            self._notify_repeated(connection, incident, due, now)
        for action in decision.actions:
            alert, channel = route(incident, action.alert, action.channel)
            if alert != "immediate":
                incident.last_notified_at = now
            elif incident.parent_id is None:
                self._notify_at_once(connection, incident, channel, action.mention, due=due, now=now)

    def notify_escalated(
        self, connection: Connection, incident: Incident, channels: Sequence[Channel], now: datetime
    ) -> None:
        """Notify once more of an incident without an acknowledgement."""
        for wanted in dict.fromkeys(route(incident, "immediate", each)[1] for each in channels):
            notice = self._composer.compose_escalated(incident).model_copy(update={"mention": self._mention})
            self._enqueue(connection, incident, "escalated", wanted, notice, now=now)
            if wanted not in incident.notified:
                incident.notified = [*incident.notified, wanted]
        incident.escalated_at = incident.last_notified_at = now
        incident.record("escalated", now, ", ".join(channels))

    def notify_reminded(
        self, connection: Connection, incident: Incident, actions: Sequence[Action], now: datetime
    ) -> None:
        """Notify that an incident is still open, by the channels that have announced it, or else in its summaries."""
        for channel in incident.notified:
            notice = self._composer.compose_reminded(incident, now)
            self._enqueue(connection, incident, "reminded", channel, notice, now=now)
        for action in actions:
            alert, channel = route(incident, action.alert, action.channel)
            if not incident.notified and alert != "immediate":
                self._remind_in_summary(connection, incident, alert, channel, now)
        incident.last_notified_at = now
        incident.record("reminded", now)

    def notify_resolved(self, connection: Connection, incident: Incident, now: datetime) -> None:
        """Notify that an incident has ended, by the channels that have announced it; delayed, in case it reopens."""
        for channel in incident.notified:
            notice = self._composer.compose_resolved(incident, now)
            self._enqueue(connection, incident, "resolved", channel, notice, now=now, hold=incident.resolved_hold)
        if incident.resolution == "abandoned":
            self._remind_in_summary(connection, incident, "daily_digest", "dashboard", now)

    def withdraw_resolved(self, connection: Connection, incident: Incident) -> None:
        """Withdraw the unsent messages about the end of an incident that has reopened."""
        outbox.withdraw_pending(connection, incident.id, "resolved")

    def withdraw_opened(self, connection: Connection, incident: Incident) -> None:
        """Withdraw the unsent first messages of an incident that was put under another one."""
        for channel in outbox.withdraw_pending(connection, incident.id, "opened"):
            incident.notified = [each for each in incident.notified if each != channel]
        if not incident.notified:
            incident.notified_at = None

    def notify_released(
        self, connection: Connection, incident: Incident, actions: Sequence[Action], now: datetime
    ) -> None:
        """Notify of an incident that its cause has suppressed until now. Summaries have counted it all along."""
        for action in actions:
            alert, channel = route(incident, action.alert, action.channel)
            if alert == "immediate":
                self._notify_at_once(connection, incident, channel, action.mention, due=now, now=now)

    def _notify_at_once(
        self,
        connection: Connection,
        incident: Incident,
        channel: Channel,
        mention: tuple[str, ...],
        *,
        due: datetime,
        now: datetime,
    ) -> None:
        """Notify at `due`, which is later than now in quiet hours; without a `mention`, those named by default."""
        if channel == "dashboard":
            return
        is_known = channel in incident.notified
        if is_known and (due > now or not outbox.is_held(connection, incident.id, channel, now + GRACE)):
            return
        history = incidents.history(connection, incident.key, now - DAY)
        symptoms = incidents.children(connection, incident.id)
        notice = self._composer.compose_opened(incident, history, symptoms, now)
        notice = notice.model_copy(update={"mention": mention or self._mention})
        if is_known:
            # The message waits for the end of quiet hours, but the incident has become one without them, such as a P0.
            outbox.release_held(connection, incident.id, channel, exclude_broken_channel(incident, notice), now)
            incident.notified_at = incident.last_notified_at = now
            return
        # A symptom's message waits for its cause, which may come a moment later. A P0 doesn't wait.
        may_be_explained = incident.priority != "P0" and causes_of_symptom(symptom_name(incident))
        hold = max(GRACE if may_be_explained else timedelta(0), due - now)
        self._enqueue(connection, incident, "opened", channel, notice, now=now, hold=hold)
        incident.notified = [*incident.notified, channel]
        # Escalation and reminders count from the time of sending: an unsent message can't be acknowledged.
        incident.notified_at = min(incident.notified_at or due, due)
        incident.last_notified_at = due

    def _notify_repeated(self, connection: Connection, incident: Incident, due: datetime, now: datetime) -> None:
        for channel in incident.notified:
            # A message that still waits covers the new episode, too.
            if not outbox.is_waiting(connection, incident.id, channel, ("opened", "repeated")):
                notice = self._composer.compose_repeated(incident, now).model_copy(update={"mention": self._mention})
                self._enqueue(connection, incident, "repeated", channel, notice, now=now, hold=due - now)
        incident.last_notified_at = due

    def _remind_in_summary(
        self, connection: Connection, incident: Incident, alert: Alert, channel: Channel, now: datetime
    ) -> None:
        if incident.environment != VERIFY:
            start = self._period_start(alert, now)
            add_reminder(connection, Period(alert, channel, start), incident.id, now)
            incident.last_notified_at = now

    def _enqueue(
        self,
        connection: Connection,
        incident: Incident,
        kind: Kind,
        channel: Channel,
        notice: Notice,
        *,
        now: datetime,
        hold: timedelta = timedelta(0),
    ) -> None:
        # An incident opens once. Everything else may repeat, even an escalation: after a person has reopened it.
        occasion = "" if kind == "opened" else f":{now:%Y%m%d%H%M%S%f}"
        new = NewNotification(
            dedupe_key=f"incident:{incident.id}:{kind}:{channel}{occasion}",
            kind=kind,
            channel=channel,
            notice=exclude_broken_channel(incident, notice),
            due=now + hold,
            incident_id=incident.id,
            suppressed=incident.environment == VERIFY,
        )
        outbox.enqueue(connection, new, now)


def _due(quiet_hours: QuietHours | None, now: datetime) -> datetime:
    return (quiet_hours.until(now) if quiet_hours is not None else None) or now
