"""GET /dashboard, its tabs, and its updates as server-sent events."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.resources import files
from typing import Annotated, Literal

from fastapi import Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response, StreamingResponse

from contracts.query_values import WholeNumber
from notification_gateway.actions.endpoints import IncidentId
from notification_gateway.dashboard import language, session
from notification_gateway.dashboard.audit_logs import AuditCursor, AuditedService, AuditFilter, AuditLogs
from notification_gateway.dashboard.page import Page, Tab
from notification_gateway.dashboard.revision import MAX_PAGES, Revisions, TooManyPagesError
from notification_gateway.dashboard.session import Sessions
from notification_gateway.request_index.endpoints import RequestId
from notification_gateway.storage import Storage
from servicekit.audit import MAX_NAME_CHARS
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import LenientRouter

# The page loads assets from the gateway only; its script sets the sizes of charts.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
# Without this a proxy (nginx) would delay updates until its buffer is full.
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_STREAM = problem_responses(service_unavailable="Too many pages are open") | {
    200: {"description": "Server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
_Render = Callable[..., str]
_ASSETS = {
    "dashboard.css": "text/css",
    "dashboard.js": "text/javascript",
    "uplot.css": "text/css",
    "uplot.js": "text/javascript",
}


@dataclass(frozen=True)
class _Pages:
    storage: Storage
    sessions: Sessions
    clock: Callable[[], datetime]

    def show(self, request: Request, lang: str | None, render: _Render) -> HTMLResponse:
        now = self.clock()
        page_language = language.choose_language(
            lang, request.cookies.get(language.COOKIE), request.headers.get("Accept-Language", "")
        )
        may_change = self.sessions.is_open(request.cookies.get(session.COOKIE), now)
        with self.storage.read() as connection:
            content = render(page_language, connection, now, may_change=may_change)
        response = HTMLResponse(content, headers=PAGE_HEADERS)
        if lang:
            response.set_cookie(language.COOKIE, page_language, max_age=31_536_000, samesite="lax", httponly=True)
        return response


def router(
    storage: Storage, page: Page, sessions: Sessions, audit_logs: AuditLogs, clock: Callable[[], datetime]
) -> LenientRouter:
    """Return the routes of the pages."""
    routes = LenientRouter(tags=["dashboard"])
    revisions = Revisions(storage)
    show = _Pages(storage, sessions, clock).show

    @routes.get("/dashboard", response_class=HTMLResponse, responses=problem_responses(503))
    def get_dashboard(
        request: Request,
        lang: Annotated[
            Literal["zh", "en"] | None, Query(description="Language of the page; null: as the browser asks")
        ] = None,
    ) -> HTMLResponse:
        """Show the overview: open incidents, errors of the last hour, and the state of deliveries."""
        return show(request, lang, partial(page.render, "overview"))

    @routes.get("/dashboard/stream", response_class=StreamingResponse, responses=_STREAM)
    async def get_stream(request: Request) -> StreamingResponse:
        """Send a server-sent event whenever the content of the page has changed."""
        is_stopping = getattr(request.app.state, "is_stopping", lambda: False)
        updates = revisions.changes(is_stopping)
        try:
            await anext(updates)
        except TooManyPagesError as error:
            detail = f"{MAX_PAGES} pages are open already; reload this one to see updates."
            raise ProblemError(503, detail) from error
        return StreamingResponse(_events(updates), media_type="text/event-stream", headers=_STREAM_HEADERS)

    @routes.get("/dashboard/assets/{name}", include_in_schema=False)
    def get_asset(name: str) -> Response:
        if name not in _ASSETS:
            raise ProblemError(404, f"There is no asset {name}.")
        content = files(__package__).joinpath("static", name).read_bytes()
        return Response(content, media_type=_ASSETS[name], headers={"Cache-Control": "max-age=300"})

    @routes.get(
        "/dashboard/incident/{incident_id}",
        response_class=HTMLResponse,
        responses=problem_responses(503, not_found="There is no such incident"),
    )
    def get_incident_page(
        request: Request,
        incident_id: IncidentId,
        lang: Annotated[
            Literal["zh", "en"] | None, Query(description="Language of the page; null: as the browser asks")
        ] = None,
    ) -> HTMLResponse:
        """Show the page of an incident: its state, its timeline and its notifications."""
        return show(request, lang, partial(page.render_incident, incident_id))

    @routes.get(
        "/dashboard/request/{request_id}",
        response_class=HTMLResponse,
        responses=problem_responses(503),
    )
    def get_request_page(
        request: Request,
        request_id: RequestId,
        lang: Annotated[
            Literal["zh", "en"] | None, Query(description="Language of the page; null: as the browser asks")
        ] = None,
    ) -> HTMLResponse:
        """Show what is known of a degraded or failed request, and its incidents, to who has signed in."""
        return show(request, lang, partial(page.render_request, request_id))

    @routes.get("/dashboard/audit", response_class=HTMLResponse, responses=problem_responses(503))
    async def get_audit_page(
        request: Request,
        lang: Annotated[
            Literal["zh", "en"] | None, Query(description="Language of the page; null: as the browser asks")
        ] = None,
        service: Annotated[
            AuditedService | Literal[""], Query(description="Only entries of this service; empty: of all")
        ] = "",
        token: Annotated[
            str, Query(max_length=MAX_NAME_CHARS, description="Only entries of the token of this name; empty: of all")
        ] = "",
        before: Annotated[
            AuditCursor, Query(description="Only older entries: the cursor in the link of the page before")
        ] = "",
    ) -> HTMLResponse:
        """Show the audit logs of the services, merged by time, to who has signed in."""
        may_read = sessions.is_open(request.cookies.get(session.COOKIE), clock())
        log = await audit_logs.read(AuditFilter(service, token.strip()), before) if may_read else None
        return await run_in_threadpool(show, request, lang, partial(page.render_audit, log))

    @routes.get("/dashboard/{tab}", response_class=HTMLResponse, responses=problem_responses(503))
    def get_tab(
        request: Request,
        tab: Annotated[Tab, Path(description="The tab")],
        lang: Annotated[
            Literal["zh", "en"] | None, Query(description="Language of the page; null: as the browser asks")
        ] = None,
        incident: Annotated[
            Annotated[int, WholeNumber(1)] | None,
            Query(description="On the tab `incidents`: the incident to show first"),
        ] = None,
    ) -> HTMLResponse:
        """Show one tab of the page."""
        return show(request, lang, partial(page.render, tab, incident_id=incident))

    return routes


async def _events(updates: AsyncIterator[bool]) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    async for _ in updates:
        yield "event: changed\ndata: {}\n\n"
