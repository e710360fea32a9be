"""Routes around a broken channel: its failure is never reported through the channel itself."""

from collections.abc import Sequence
from typing import Protocol

from notification_gateway.outbox.notice import Notice
from notification_gateway.policy.model import Alert, Channel

WEIXIN_CATEGORY = "weixin"
EMAIL_POINT = "gateway.email_failed"
CHANNEL_POINT = "gateway.channel_failed"


class Described(Protocol):
    """The fields of an incident that routing reads."""

    @property
    def category(self) -> str: ...
    @property
    def monitoring_point(self) -> str: ...
    @property
    def fingerprint(self) -> Sequence[str]: ...


def broken_channel(incident: Described) -> Channel | None:
    """Return the channel whose failure the incident reports, or None."""
    if incident.category == WEIXIN_CATEGORY:
        return "weixin"
    if incident.monitoring_point == CHANNEL_POINT:
        return incident.fingerprint[-1]
    return "email" if incident.monitoring_point == EMAIL_POINT else None


def route(incident: Described, alert: Alert, wanted: Channel) -> tuple[Alert, Channel]:
    """Return the alert type and channel for an incident whose action names `alert` and `wanted`.

    A failure of email is sent at once by WeChat, even if the action is an hourly email.
    """
    if wanted != broken_channel(incident):
        return alert, wanted
    return (alert, "email") if wanted == "weixin" else ("immediate", "weixin")


def exclude_broken_channel(incident: Described, notice: Notice) -> Notice:
    """Return the notice, barred from the channel whose failure it reports."""
    broken = broken_channel(incident)
    return notice if broken is None else notice.model_copy(update={"not_through": (broken,)})
