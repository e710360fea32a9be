"""The FastAPI application that every service starts from."""

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


def base_app(distribution: str, title: str, *, lifespan: Lifespan[FastAPI], description: str) -> FastAPI:
    """Return an application with problem documents and request ids; `distribution` gives its version."""
    app = FastAPI(
        title=title,
        version=version(distribution),
        description=description,
        lifespan=_reporting_start(lifespan),
        responses=problems.unreadable_responses() | problems.problem_responses(408, 413, 422, 500),
        # Asking with each request whether someone has set up OpenTelemetry costs a tenth of a small one.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.route_class = BoundedRoute
    for route in app.routes:
        # The OpenAPI document and its pages, which FastAPI adds itself.
        if isinstance(route, Route):
            route.app = WithoutBody(route.app)
    problems.install(app)
    app.add_middleware(RequestIdMiddleware)
    return app


def _reporting_start(lifespan: Lifespan[FastAPI]) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def reporting(app: FastAPI) -> AsyncIterator[Any]:
        started = False
        try:
            async with lifespan(app) as state:
                started = True
                yield state
        except Exception as error:
            if not started:
                monitoring.report("api.startup_failed", error=error)
            raise
        finally:
            # Here and not after the server: uvicorn raises the signal that stopped it once more when it is done.
            monitoring.flush()

    return reporting
