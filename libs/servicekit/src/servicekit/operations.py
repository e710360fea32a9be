"""`GET /health` and `GET /metrics` of every service."""

from collections.abc import Awaitable, Callable
from importlib.metadata import version

from starlette.responses import Response

from servicekit.health import Check, Health
from servicekit.metrics import ServiceMetrics
from servicekit.routing import ApiRouter


def router(service: str, checks: Callable[[], Awaitable[dict[str, Check]]], metrics: ServiceMetrics) -> ApiRouter:
    """Return the routes of the service `recsys-{service}`; `checks` says how each of its dependencies is."""
    routes = ApiRouter(tags=["operations"])
    named_health = Health.named(service)

    @routes.get("/health", response_model=named_health, summary="How the process and its dependencies are")
    async def health() -> Health:
        """Answer 200 as long as the process lives, whatever is wrong with its dependencies."""
        return named_health.of(service, version(f"recsys-{service}"), await checks())

    @routes.get(
        "/metrics",
        summary="Metrics in the Prometheus text format",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def show_metrics() -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes
