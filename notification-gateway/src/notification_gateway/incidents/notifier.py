"""Who is notified of an incident: writes notifications and summary entries beside the change that causes them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection

from notification_gateway.incidents import queries as incidents
from notification_gateway.incidents.book import Firing
from notification_gateway.incidents.causes import GRACE, causes_of_symptom, symptom_name
from notification_gateway.incidents.model import VERIFY, Incident
from notification_gateway.messages.composer import Composer
from notification_gateway.messages.notice import Notice
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import Kind, NewNotification
from notification_gateway.policy.evaluation import Decision
from notification_gateway.policy.model import Action, Alert, Channel
from notification_gateway.summaries.queries import add_entry

WEIXIN_CATEGORY = "weixin"
DAY = timedelta(days=1)
PeriodStart = Callable[[Alert, datetime], datetime]


class IncidentNotifier:
    """`period_start` says when the current period of a summary began."""

    def __init__(self, composer: Composer, period_start: PeriodStart) -> None:
        self._composer = composer
        self._period_start = period_start

    def fired(
        self, connection: Connection, firing: Firing, decision: Decision, occurrences: int, now: datetime
    ) -> None:
        """Notify of a signal as its actions say, unless silenced.

        At once only when nobody was notified of the incident yet, or when another run, deployment or episode began.
        What another incident explains goes into summaries only.
        """
        incident = firing.incident
        if incident.state != "open" or incident.silence_id is not None:
            return
        if firing.new_episode and incident.parent_id is None:
            self._repeat(connection, incident, now)
        for action in decision.actions:
            channel = channel_for(incident, action.channel)
            if action.alert != "immediate":
                self._add_to_summary(connection, incident, action.alert, channel, occurrences, now)
            elif incident.parent_id is None:
                self._notify_at_once(connection, incident, channel, now)

    def escalated(
        self, connection: Connection, incident: Incident, channels: Sequence[Literal["weixin", "email"]], now: datetime
    ) -> None:
        """Notify of an incident that nobody has acknowledged."""
        for wanted in dict.fromkeys(channel_for(incident, each) for each in channels):
            self._put(connection, incident, "escalated", wanted, self._composer.escalated(incident), now)
            if wanted not in incident.notified:
                incident.notified = [*incident.notified, wanted]
        incident.escalated_at = incident.last_notified_at = now
        incident.record("escalated", now, ", ".join(channels))

    def reminded(self, connection: Connection, incident: Incident, actions: Sequence[Action], now: datetime) -> None:
        """Notify that an incident is still open: the channels that know of it, or its summaries."""
        for channel in incident.notified:
            notice = self._composer.reminded(incident, now)
            self._put(connection, incident, "reminded", _known(channel), notice, now, occasion=f"{now:%Y%m%d%H%M}")
        for action in actions:
            if not incident.notified and action.alert != "immediate":
                self._add_to_summary(connection, incident, action.alert, action.channel, 0, now)
        incident.last_notified_at = now
        incident.record("reminded", now)

    def resolved(self, connection: Connection, incident: Incident, now: datetime) -> None:
        """Notify those who know of the incident that it is over, unless it soon begins again."""
        for channel in incident.notified:
            notice = self._composer.resolved(incident, now)
            occasion = f"{now:%Y%m%d%H%M%S%f}"
            hold = incident.resolved_hold
            self._put(connection, incident, "resolved", _known(channel), notice, now, hold=hold, occasion=occasion)
        if incident.resolution == "abandoned":
            self._add_to_summary(connection, incident, "daily_digest", "dashboard", 0, now)

    def reopened(self, connection: Connection, incident: Incident) -> None:
        """Withdraw the message of an end that was none."""
        outbox.withdraw_pending(connection, incident.id, "resolved")

    def grouped(self, connection: Connection, incident: Incident) -> None:
        """Withdraw the messages of an incident that another one explains, where they are not sent yet."""
        for channel in outbox.withdraw_pending(connection, incident.id, "opened"):
            incident.notified = [each for each in incident.notified if each != channel]
        if not incident.notified:
            incident.told_at = None

    def _notify_at_once(self, connection: Connection, incident: Incident, channel: Channel, now: datetime) -> None:
        if channel in incident.notified or channel == "dashboard":
            return
        history = incidents.history(connection, incident.key, now - DAY)
        symptoms = incidents.children(connection, incident.id)
        notice = self._composer.opened(incident, history, symptoms, now)
        # A symptom waits for its cause, which may come a moment later; a P0 waits for nothing.
        may_be_explained = incident.priority != "P0" and causes_of_symptom(symptom_name(incident))
        hold = GRACE if may_be_explained else timedelta(0)
        self._put(connection, incident, "opened", channel, notice, now, hold=hold)
        incident.notified = [*incident.notified, channel]
        incident.told_at = incident.told_at or now
        incident.last_notified_at = now

    def _repeat(self, connection: Connection, incident: Incident, now: datetime) -> None:
        for channel in incident.notified:
            # One that still waits says it.
            if not outbox.is_waiting(connection, incident.id, channel, ("opened", "repeated")):
                notice = self._composer.repeated(incident, now)
                occasion = f"{now:%Y%m%d%H%M%S%f}"
                self._put(connection, incident, "repeated", _known(channel), notice, now, occasion=occasion)
        incident.last_notified_at = now

    def _add_to_summary(
        self,
        connection: Connection,
        incident: Incident,
        alert: Alert,
        channel: Channel,
        occurrences: int,
        now: datetime,
    ) -> None:
        if incident.environment != VERIFY:
            add_entry(connection, alert, channel, self._period_start(alert, now), incident.id, occurrences)
            incident.last_notified_at = now

    def _put(
        self,
        connection: Connection,
        incident: Incident,
        kind: Kind,
        channel: Channel,
        notice: Notice,
        now: datetime,
        *,
        hold: timedelta = timedelta(0),
        occasion: str = "",
    ) -> None:
        """Store a notification; `occasion` tells several of one kind apart."""
        new = NewNotification(
            dedupe_key=f"incident:{incident.id}:{kind}:{channel}" + (f":{occasion}" if occasion else ""),
            kind=kind,
            channel=channel,
            notice=notice,
            due=now + hold,
            incident_id=incident.id,
            suppressed=incident.environment == VERIFY,
        )
        outbox.put(connection, new, now)


def channel_for(incident: Incident, wanted: Channel) -> Channel:
    """Return the channel that an action's message about an incident takes."""
    # That WeChat is broken is never said through WeChat.
    return "email" if wanted == "weixin" and incident.category == WEIXIN_CATEGORY else wanted


def _known(channel: str) -> Channel:
    return "weixin" if channel == "weixin" else "email"
