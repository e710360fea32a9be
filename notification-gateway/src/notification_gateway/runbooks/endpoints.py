"""GET /runbook/{point}, for whoever has the alert in hand: without a password."""

from typing import Annotated, Literal

from fastapi import Path, Query, Request
from starlette.responses import HTMLResponse

from monitoring import catalogue
from notification_gateway.dashboard import language
from notification_gateway.dashboard.endpoints import PAGE_HEADERS
from notification_gateway.runbooks.history import last_closed
from notification_gateway.runbooks.page import RunbookPage
from notification_gateway.storage import Storage
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import LenientRouter

MAX_SHOWN_CHARS = 64


def router(storage: Storage, page: RunbookPage) -> LenientRouter:
    """Return the route."""
    routes = LenientRouter(tags=["dashboard"])

    @routes.get(
        "/runbook/{point}",
        response_class=HTMLResponse,
        responses=problem_responses(503, not_found="There is no such monitoring point"),
    )
    def get_runbook(
        request: Request,
        point: Annotated[str, Path(description="Id of a monitoring point", examples=["redis.connection_failed"])],
        lang: Annotated[
            Literal["zh", "en"] | None, Query(description="Language of the page; null: as the browser asks")
        ] = None,
    ) -> HTMLResponse:
        """Show what a monitoring point means, what to do, the first commands, and what closed it before."""
        known = catalogue.load_all().by_id().get(point)
        if known is None:
            raise ProblemError(404, f"There is no monitoring point {point[:MAX_SHOWN_CHARS]!r}.")
        shown = language.choose(lang, request.cookies.get(language.COOKIE), request.headers.get("Accept-Language", ""))
        with storage.read() as connection:
            closed = last_closed(connection, known.id)
        return HTMLResponse(page.render(known, shown, closed), headers=PAGE_HEADERS)

    return routes
