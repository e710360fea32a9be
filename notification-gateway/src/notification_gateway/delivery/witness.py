"""Tells monitoring and metrics what became of notifications."""

from collections.abc import Mapping
from types import MappingProxyType

import monitoring
from notification_gateway.delivery.channel import Delivered, Rejected
from notification_gateway.metrics import Metrics
from notification_gateway.outbox.model import Claim
from notification_gateway.policy.model import Channel

POINTS: Mapping[Channel, str] = MappingProxyType(
    {"weixin": "weixin.send_message_failed", "email": "gateway.email_failed"}
)


class DeliveryWitness:
    """The witness of one channel's loop; the channel's failures are a monitoring point."""

    def __init__(self, channel: Channel, metrics: Metrics, recipient_kind: str) -> None:
        self._channel = channel
        self._metrics = metrics
        self._recipient_kind = recipient_kind
        self._point = POINTS.get(channel)
        # What an earlier process reported ends with the first message that arrives.
        self._failing = True
        self.last_failure: str | None = None

    def delivered(self, claimed: Claim, seconds: float) -> None:
        """The other side has it."""
        self._count_sent(claimed, seconds)
        self.last_failure = None
        if self._failing and self._point is not None:
            self._failing = False
            monitoring.recovered(self._point)

    def partly_delivered(self, claimed: Claim, outcome: Delivered, seconds: float) -> None:
        """The other side has it, but not for all recipients."""
        self._count_sent(claimed, seconds)
        self.last_failure = outcome.detail
        self._failing = True
        if not outcome.reported:
            self._report(claimed, detail=outcome.detail)

    def given_up(self, claimed: Claim, outcome: Rejected) -> None:
        """It is not, or not soon, delivered through this channel."""
        self._metrics.deliveries.labels(self._channel, "failed").inc()
        self.last_failure = outcome.reason
        if outcome.reported:
            return
        self._failing = True
        self._report(claimed, detail=outcome.reason, errcode=outcome.errcode, http_status=outcome.http_status)

    def _count_sent(self, claimed: Claim, seconds: float) -> None:
        self._metrics.deliveries.labels(self._channel, "sent").inc()
        if claimed.kind == "opened":
            self._metrics.latency.labels(self._channel).observe(seconds)

    def _report(self, claimed: Claim, **fields: object) -> None:
        if self._point is not None:
            kind = self._recipient_kind
            monitoring.report(self._point, recipient_kind=kind, notification=claimed.dedupe_key, **fields)
