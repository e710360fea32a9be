"""POST /signals."""

from pydantic import SecretStr

from contracts.signals import SignalBatch, SignalReceipt
from notification_gateway.metrics import Metrics
from notification_gateway.signals.intake import Intake
from servicekit.bearer import bearer_guard
from servicekit.bodies import MIB
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

# A thousand signals with the longest messages.
MAX_BODY_BYTES = 8 * MIB


def router(intake: Intake, token: SecretStr, metrics: Metrics) -> ApiRouter:
    """Return the route."""
    routes = ApiRouter(tags=["signals"])

    @routes.post(
        "/signals",
        status_code=202,
        dependencies=bearer_guard(token),
        responses=problem_responses(401, 503),
        max_body_size=MAX_BODY_BYTES,
    )
    def post_signals(batch: SignalBatch) -> SignalReceipt:
        """Take alert signals. They are stored when this answers; the same signal_id counts once."""
        receipt = intake.accept(batch.signals)
        metrics.signals.labels("accepted").inc(receipt.accepted)
        metrics.signals.labels("duplicate").inc(receipt.duplicates)
        return receipt

    return routes
