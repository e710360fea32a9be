"""Reports the outcomes of deliveries to monitoring and metrics."""

import monitoring
from notification_gateway.delivery.channel import Delivered, Outcome, Rejected
from notification_gateway.delivery.routing import CHANNEL_POINT, EMAIL_POINT
from notification_gateway.metrics import Metrics
from notification_gateway.outbox.model import Claim
from notification_gateway.policy.model import Channel

WEIXIN_POINT = "weixin.send_message_failed"
NO_SMTP_CODE = "none"


class ChannelObserver:
    """Observes one channel's loop; failures are reported by the channel's monitoring point."""

    def __init__(self, channel: Channel, metrics: Metrics, recipient_kind: str) -> None:
        self._channel = channel
        self._metrics = metrics
        # Prometheus doesn't see the first increase of a series that began with it.
        metrics.latency.labels(channel)
        for outcome in ("sent", "failed"):
            metrics.deliveries.labels(channel, outcome)
        self._recipient_kind = recipient_kind
        # An earlier process may have reported a failure: the first delivered message reports the recovery.
        self._failing = True
        self.last_failure: str | None = None

    def on_delivered(self, claimed: Claim, seconds: float) -> None:
        """Count a delivered message, and report the recovery."""
        self._count_sent(claimed, seconds)
        self._recover()

    def on_partly_delivered(self, claimed: Claim, outcome: Delivered, seconds: float) -> None:
        """Count a message that did not reach all recipients, and report that."""
        self._count_sent(claimed, seconds)
        self.last_failure = outcome.detail
        self._failing = True
        if not outcome.reported:
            self._report(claimed, outcome.detail)

    def on_failed(self, claimed: Claim, outcome: Rejected) -> None:
        """Count and report a message that this channel can't deliver, or not soon."""
        self._metrics.deliveries.labels(self._channel, "failed").inc()
        self.last_failure = outcome.reason
        if outcome.reported:
            return
        self._failing = True
        self._report(claimed, outcome.reason, outcome.errcode, outcome.http_status)

    def on_ping(self, outcome: Outcome) -> None:
        """Record a test message: success reports the recovery; a failure is shown in `/health`, not reported."""
        if isinstance(outcome, Delivered) and not outcome.detail:
            self._recover()
        else:
            self.last_failure = outcome.detail if isinstance(outcome, Delivered) else outcome.reason

    def _recover(self) -> None:
        self.last_failure = None
        if not self._failing:
            return
        self._failing = False
        match self._channel:
            case "weixin":
                monitoring.recovered(WEIXIN_POINT)
            case "email":
                monitoring.recovered(EMAIL_POINT)
            case name:
                monitoring.recovered(CHANNEL_POINT, channel=name)

    def _count_sent(self, claimed: Claim, seconds: float) -> None:
        self._metrics.deliveries.labels(self._channel, "sent").inc()
        if claimed.kind == "opened":
            self._metrics.latency.labels(self._channel).observe(seconds)

    def _report(self, claimed: Claim, detail: str, code: int | None = None, http_status: int | None = None) -> None:
        if self._channel == "weixin":
            monitoring.report(
                WEIXIN_POINT,
                errcode=code,
                http_status=http_status,
                recipient_kind=self._recipient_kind,
                detail=detail,
                notification=claimed.dedupe_key,
            )
        elif self._channel == "email":
            # A server that does not answer gives no code, and a tag must not be empty.
            smtp_code = NO_SMTP_CODE if code is None else code
            monitoring.report(EMAIL_POINT, smtp_code=smtp_code, detail=detail, notification=claimed.dedupe_key)
        else:
            monitoring.report(CHANNEL_POINT, channel=self._channel, detail=detail, notification=claimed.dedupe_key)
