"""GET /health and GET /metrics."""

from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.metadata import version

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from notification_gateway.outbox import queries as outbox
from notification_gateway.storage import Storage
from servicekit.health import Check, Health
from servicekit.routing import ApiRouter

SERVICE = "notification-gateway"
# Past this, messages are not getting out.
OVERDUE = timedelta(minutes=2)


def router(checks: Callable[[], dict[str, Check]], registry: CollectorRegistry) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(tags=["operation"])

    @routes.get("/health")
    def health() -> Health:
        """Say how the process and each of its dependencies are; 200 as long as the process lives."""
        return Health.of(SERVICE, version("recsys-notification-gateway"), checks())

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={200: {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def metrics() -> Response:
        """Give the metrics in Prometheus's text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes


def check_database(storage: Storage, now: datetime) -> Check:
    """Return the check `database`: it answers, and nothing in the outbox waits for too long."""
    try:
        with storage.read() as connection:
            oldest = outbox.oldest_due(connection, now)
    except SQLAlchemyError as error:
        return Check(status="unhealthy", detail=type(error).__name__)
    if oldest is not None and now - oldest > OVERDUE:
        return Check(status="degraded", detail=f"a message has waited since {oldest.isoformat(timespec='seconds')}")
    return Check(status="healthy")
