"""`GET /health` and `GET /metrics` of a service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import httpx
import pytest
from fastapi import FastAPI

from servicekit import operations
from servicekit.app import base_app
from servicekit.health import Check, Status
from servicekit.metrics import ServiceMetrics
from testkit.serving import Served


@asynccontextmanager
async def _nothing_to_open(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("dependency", "whole"), [("healthy", "healthy"), ("degraded", "degraded"), ("unhealthy", "degraded")]
)
def test_health_is_answered_with_200_whatever_its_dependencies_are(dependency: Status, whole: str) -> None:
    async def checks() -> dict[str, Check]:
        return {"redis": Check(status=dependency, detail="as set")}

    app = base_app("recsys-servicekit", "sample", lifespan=_nothing_to_open, description="For tests.")
    app.include_router(operations.router("servicekit", checks, ServiceMetrics()))
    with Served(app) as served:
        health = httpx.get(f"{served.url}/health", timeout=10)
        metrics = httpx.get(f"{served.url}/metrics", timeout=10)
    assert (health.status_code, health.json()) == (
        200,
        {
            "status": whole,
            "service": "servicekit",
            "version": version("recsys-servicekit"),
            "checks": {"redis": {"status": dependency, "detail": "as set"}},
        },
    )
    assert app.openapi()["components"]["schemas"]["Health"]["properties"]["service"]["examples"] == ["servicekit"]
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    # Every service shows what monitoring counts of itself.
    assert "monitoring_" in metrics.text
