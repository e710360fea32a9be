"""Tells monitoring and metrics what became of notifications."""

import monitoring
from notification_gateway.delivery.channel import Rejected
from notification_gateway.metrics import Metrics
from notification_gateway.outbox.model import Claim
from notification_gateway.policy.model import Channel

WEIXIN_POINT = "weixin.send_message_failed"


class DeliveryWitness:
    """The witness of one channel's loop; WeChat's failures are a monitoring point."""

    def __init__(self, channel: Channel, metrics: Metrics, recipient_kind: str) -> None:
        self._channel = channel
        self._metrics = metrics
        self._recipient_kind = recipient_kind
        # What an earlier process has reported, this one can't know: its first delivery ends that.
        self._failing = channel == "weixin"
        self.last_failure: str | None = None

    def delivered(self, claimed: Claim, seconds: float) -> None:
        """The other side has it."""
        self._metrics.deliveries.labels(self._channel, "sent").inc()
        if claimed.kind == "opened":
            self._metrics.latency.labels(self._channel).observe(seconds)
        self.last_failure = None
        if self._failing:
            self._failing = False
            monitoring.recovered(WEIXIN_POINT)

    def given_up(self, claimed: Claim, outcome: Rejected) -> None:
        """It is not, or not soon, delivered through this channel."""
        self._metrics.deliveries.labels(self._channel, "failed").inc()
        self.last_failure = outcome.reason
        if self._channel != "weixin" or outcome.reported:
            return
        self._failing = True
        monitoring.report(
            WEIXIN_POINT,
            errcode=outcome.errcode,
            http_status=outcome.http_status,
            recipient_kind=self._recipient_kind,
            detail=outcome.reason,
            notification=claimed.dedupe_key,
        )
