"""Who is told of an incident: writes notifications and summary entries beside the change that causes them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection

from notification_gateway.incidents import queries as incidents
from notification_gateway.incidents.model import RESOLVED_HOLD, VERIFY, Incident
from notification_gateway.messages.composer import Composer
from notification_gateway.messages.notice import Notice
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import Kind, NewNotification
from notification_gateway.policy.evaluation import Decision
from notification_gateway.policy.model import Alert, Channel
from notification_gateway.summaries.queries import add_entry

WEIXIN_CATEGORY = "weixin"
DAY = timedelta(days=1)
PeriodStart = Callable[[Alert, datetime], datetime]


class Telling:
    """`period_start` says when the current period of a summary began."""

    def __init__(self, composer: Composer, period_start: PeriodStart) -> None:
        self._composer = composer
        self._period_start = period_start

    def fired(
        self, connection: Connection, incident: Incident, decision: Decision, occurrences: int, now: datetime
    ) -> None:
        """Tell of a signal as its actions say, unless silenced; at once only when nobody was told of the incident."""
        if incident.state != "open" or incident.silence_id is not None:
            return
        for action in decision.actions:
            channel = _channel_for(incident, action.channel)
            if action.alert == "immediate":
                self._tell_at_once(connection, incident, channel, now)
            elif incident.environment != VERIFY:
                start = self._period_start(action.alert, now)
                add_entry(connection, action.alert, channel, start, incident.id, occurrences)

    def escalated(
        self, connection: Connection, incident: Incident, channels: Sequence[Literal["weixin", "email"]], now: datetime
    ) -> None:
        """Tell of an incident that nobody has acknowledged."""
        for wanted in dict.fromkeys(_channel_for(incident, each) for each in channels):
            self._put(connection, incident, "escalated", wanted, self._composer.escalated(incident), now)
            if wanted not in incident.notified:
                incident.notified = [*incident.notified, wanted]
        incident.escalated_at = now

    def resolved(self, connection: Connection, incident: Incident, now: datetime) -> None:
        """Tell those who know of the incident that it is over, unless it soon begins again."""
        for channel in incident.notified:
            notice = self._composer.resolved(incident)
            self._put(connection, incident, "resolved", _known(channel), notice, now, hold=RESOLVED_HOLD)

    def began_again(self, connection: Connection, incident: Incident) -> None:
        """Say nothing of an end that was none."""
        outbox.withdraw_resolved(connection, incident.id)

    def _tell_at_once(self, connection: Connection, incident: Incident, channel: Channel, now: datetime) -> None:
        if channel in incident.notified or channel == "dashboard":
            return
        history = incidents.history(connection, incident.key, now - DAY)
        self._put(connection, incident, "opened", channel, self._composer.opened(incident, history, now), now)
        incident.notified = [*incident.notified, channel]
        incident.told_at = incident.told_at or now

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
    ) -> None:
        new = NewNotification(
            dedupe_key=f"incident:{incident.id}:{kind}:{channel}",
            kind=kind,
            channel=channel,
            notice=notice,
            due=now + hold,
            incident_id=incident.id,
            suppressed=incident.environment == VERIFY,
        )
        outbox.put(connection, new, now)


def _channel_for(incident: Incident, wanted: Channel) -> Channel:
    # That WeChat is broken is never said through WeChat.
    return "email" if wanted == "weixin" and incident.category == WEIXIN_CATEGORY else wanted


def _known(channel: str) -> Channel:
    return "weixin" if channel == "weixin" else "email"
