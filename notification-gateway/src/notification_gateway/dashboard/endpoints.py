"""GET /dashboard."""

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from notification_gateway.dashboard.page import DashboardPage
from notification_gateway.dashboard.queries import overview
from notification_gateway.storage import Storage
from servicekit.problems import problem_responses

# The page needs nothing but its own style, so it may load nothing else.
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}


def router(storage: Storage, page: DashboardPage, clock: Callable[[], datetime]) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["dashboard"])

    @routes.get("/dashboard", response_class=HTMLResponse, responses=problem_responses(503))
    def get_dashboard() -> HTMLResponse:
        """Show incidents, deliveries and digests as a page."""
        now = clock()
        with storage.reading() as connection:
            content = overview(connection, now)
        return HTMLResponse(page.render(content, now), headers=_HEADERS)

    return routes
