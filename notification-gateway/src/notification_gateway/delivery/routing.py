"""Ways around a broken channel: that it is broken is never said through itself."""

from collections.abc import Sequence
from typing import Protocol

from notification_gateway.outbox.notice import Notice
from notification_gateway.policy.model import Alert, Channel

WEIXIN_CATEGORY = "weixin"
EMAIL_POINT = "gateway.email_failed"
CHANNEL_POINT = "gateway.channel_failed"


class Described(Protocol):
    """An incident."""

    @property
    def category(self) -> str: ...
    @property
    def monitoring_point(self) -> str: ...
    @property
    def fingerprint(self) -> Sequence[str]: ...


def broken_channel(incident: Described) -> Channel | None:
    """Return the channel whose failure an incident is, or None."""
    if incident.category == WEIXIN_CATEGORY:
        return "weixin"
    if incident.monitoring_point == CHANNEL_POINT:
        return incident.fingerprint[-1]
    return "email" if incident.monitoring_point == EMAIL_POINT else None


def route(incident: Described, alert: Alert, wanted: Channel) -> tuple[Alert, Channel]:
    """Return when and how to notify of an incident whose action says `alert` and `wanted`.

    Whoever waits for an hourly email must hear at once that no email comes.
    """
    if wanted != broken_channel(incident):
        return alert, wanted
    return (alert, "email") if wanted == "weixin" else ("immediate", "weixin")


def keep_off_broken(incident: Described, notice: Notice) -> Notice:
    """Return the notice so that no failover brings it to the channel whose failure it is about."""
    broken = broken_channel(incident)
    return notice if broken is None else notice.model_copy(update={"not_through": (broken,)})
