"""GET /runbook/{point}, without a password."""

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
        """Show what a monitoring point means, what to do, the first commands, and how earlier incidents ended."""
        found = catalogue.load_all().by_id().get(point)
        if found is None:
            raise ProblemError(404, f"There is no monitoring point {point[:MAX_SHOWN_CHARS]!r}.")
        page_language = language.choose_language(
            lang, request.cookies.get(language.COOKIE), request.headers.get("Accept-Language", "")
        )
        with storage.read() as connection:
            closed = last_closed(connection, found.id)
        return HTMLResponse(page.render(found, page_language, closed), headers=PAGE_HEADERS)

    return routes
