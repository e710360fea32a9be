"""POST /signals."""

from contracts.signals import AlertSignal, RejectedSignal, SignalBatch, SignalReceipt, UnreadableSignal, read_signal
from notification_gateway.metrics import UNSTORABLE, Metrics
from notification_gateway.signals.intake import Intake
from servicekit.bearer import Access
from servicekit.bodies import MIB
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

# Enough for a thousand signals with messages of the maximum length.
MAX_BODY_BYTES = 8 * MIB


def router(intake: Intake, access: Access, metrics: Metrics) -> ApiRouter:
    """Return the route."""
    routes = ApiRouter(tags=["signals"])

    @routes.post(
        "/signals",
        status_code=202,
        dependencies=access.allow("signals"),
        responses=problem_responses(503),
        max_body_size=MAX_BODY_BYTES,
    )
    def post_signals(batch: SignalBatch) -> SignalReceipt:
        """Accept alert signals. They are stored before the answer; the same signal_id counts once.

        Each signal is read by itself: an unreadable one is rejected with a reason, and the others are accepted.
        """
        read = [read_signal(each) for each in batch.signals]
        unreadable = [each for each in read if isinstance(each, UnreadableSignal)]
        receipt = intake.accept([each for each in read if isinstance(each, AlertSignal)])
        for each in unreadable:
            metrics.rejected.labels("signals", each.field).inc()
        metrics.rejected.labels("signals", UNSTORABLE).inc(len(receipt.rejected))
        rejected = [RejectedSignal(signal_id=each.signal_id, reason=each.reason) for each in unreadable]
        metrics.signals.labels("accepted").inc(receipt.accepted)
        metrics.signals.labels("duplicate").inc(receipt.duplicates)
        metrics.signals.labels("rejected").inc(len(unreadable) + len(receipt.rejected))
        return receipt.model_copy(update={"rejected": rejected + receipt.rejected})

    return routes
