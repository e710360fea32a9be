"""The FastAPI application that every service starts from."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Lifespan

import monitoring
from servicekit import problems
from servicekit.request_ids import RequestIdMiddleware
from servicekit.routing import BoundedRoute, WithoutBody

# A service that ends sooner may be about to fail at its next start as it did at the last.
SETTLED_SECONDS = 60.0
_START_POINT = "api.startup_failed"


def base_app(
    distribution: str,
    title: str,
    *,
    lifespan: Lifespan[FastAPI],
    description: str,
    settled_seconds: float = SETTLED_SECONDS,
) -> FastAPI:
    """Return an application with problem documents and request ids; `distribution` gives its version.

    After `settled_seconds` of running, the incident of an earlier start that failed is over.
    """
    app = FastAPI(
        title=title,
        version=version(distribution),
        description=description,
        lifespan=_reporting_start(lifespan, settled_seconds),
        responses=problems.problem_responses(500),
        # Asking with each request whether someone has set up OpenTelemetry costs a tenth of a small one.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.route_class = BoundedRoute
    # Its address would be made with the header `Host`, whatever that is.
    app.router.redirect_slashes = False
    for route in app.routes:
        # The OpenAPI document and its pages, which FastAPI adds itself.
        if isinstance(route, Route):
            route.app = WithoutBody(route.app)
    problems.install(app)
    app.add_middleware(RequestIdMiddleware)
    return app


def _reporting_start(lifespan: Lifespan[FastAPI], settled_seconds: float) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def reporting(app: FastAPI) -> AsyncIterator[Any]:
        started = False
        try:
            async with lifespan(app) as state:
                started = True
                settled = asyncio.get_running_loop().call_later(settled_seconds, monitoring.recovered, _START_POINT)
                try:
                    yield state
                finally:
                    settled.cancel()
        except Exception as error:
            if not started:
                monitoring.report(_START_POINT, error=error)
            raise
        finally:
            # Here and not after the server: uvicorn raises the signal that stopped it once more when it is done.
            monitoring.flush()

    return reporting
