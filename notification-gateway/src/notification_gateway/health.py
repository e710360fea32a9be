"""GET /health and GET /metrics."""

from datetime import timedelta
from importlib.metadata import version

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from notification_gateway.channels import ConfiguredChannel
from notification_gateway.gateway import Gateway
from notification_gateway.outbox import queries as outbox
from notification_gateway.policy.channel_names import BUILT_IN_CHANNELS
from servicekit.health import Check, Health
from servicekit.routing import ApiRouter

SERVICE = "notification-gateway"
# Past this, messages are not getting out.
OVERDUE = timedelta(minutes=2)


def router(gateway: Gateway) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(tags=["operation"])

    @routes.get("/health")
    def health() -> Health:
        """Say how the process and each of its dependencies are; 200 as long as the process lives."""
        return Health.of(SERVICE, version("recsys-notification-gateway"), checks(gateway))

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={200: {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def metrics() -> Response:
        """Give the metrics in Prometheus's text format."""
        return Response(generate_latest(gateway.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return routes


def checks(gateway: Gateway) -> dict[str, Check]:
    """Return how each dependency is."""
    return {
        "database": _database(gateway),
        "policy": _policy(gateway),
        **{
            _check_name(name): _channel(each, gateway.witnesses[name].last_failure)
            for name, each in gateway.channels.items()
        },
        "background": gateway.loops.check(),
        "heartbeat": gateway.heartbeat.check(),
    }


def _check_name(channel: str) -> str:
    return channel if channel in BUILT_IN_CHANNELS else f"channel {channel}"


def _database(gateway: Gateway) -> Check:
    now = gateway.clock()
    try:
        with gateway.storage.reading() as connection:
            oldest = outbox.oldest_due(connection, now)
    except SQLAlchemyError as error:
        return Check(status="unhealthy", detail=type(error).__name__)
    if oldest is not None and now - oldest > OVERDUE:
        return Check(status="degraded", detail=f"a message has waited since {oldest.isoformat(timespec='seconds')}")
    return Check(status="healthy")


def _policy(gateway: Gateway) -> Check:
    policy_file = gateway.policy_file
    if policy_file is None:
        return Check(status="unhealthy", detail="not loaded")
    if policy_file.error is not None:
        return Check(status="degraded", detail=f"the last valid policy stays in use: {policy_file.error}")
    return Check(status="healthy", detail=f"{len(policy_file.policy.rules)} rules")


def _channel(configured: ConfiguredChannel, failure: str | None) -> Check:
    if not configured.configured:
        return Check(status="healthy", detail="not configured")
    if failure is not None:
        return Check(status="degraded", detail=failure)
    return Check(status="healthy", detail=f"to {configured.kind}{' (simulator)' if configured.is_simulated else ''}")
