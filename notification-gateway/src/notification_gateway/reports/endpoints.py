"""GET /reports, GET and PUT /reports/{run}, PUT /reports/{run}/checks."""

from collections.abc import Callable
from datetime import datetime
from email.message import Message as MimeMessage
from typing import Annotated

from fastapi import Path, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse

from contracts.run_reports import MAX_RUN_ID_CHARS, RUN_NAME, RunChecks, RunOutcome, RunReport
from contracts.text import LabelText
from notification_gateway.messages.links import Links
from notification_gateway.reports import queries
from notification_gateway.storage import Storage
from servicekit.bearer import Access
from servicekit.bodies import MIB, invalid
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

MAX_REPORT_BYTES = 2 * MIB
# The page is foreign: it runs nothing, loads nothing, sends nothing, and has no part in the gateway's origin.
REPORT_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_BODY = {
    "required": True,
    "content": {
        "text/html": {
            "schema": {"type": "string", "minLength": 1, "description": "A self-contained page in UTF-8"},
            "example": "<!doctype html><title>20261128T030000000000Z</title><p>…</p>",
        }
    },
}
_Run = Annotated[str, Path(pattern=RUN_NAME, description="Name of the run", examples=["20261128T030000000000Z"])]


class RunReportList(BaseModel):
    """The stored reports, newest first."""

    reports: Annotated[list[RunReport], Field(description=f"At most {queries.REPORTS_KEPT} reports")]


def router(storage: Storage, access: Access, links: Links, clock: Callable[[], datetime]) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(tags=["reports"])

    def linked(report: RunReport) -> RunReport:
        return report.model_copy(update={"url": links.report(report.run)})

    @routes.put(
        "/reports/{run}",
        dependencies=access.allow("signals"),
        max_body_size=MAX_REPORT_BYTES,
        responses=problem_responses(503),
        openapi_extra={"requestBody": _BODY},
    )
    async def put_report(
        request: Request,
        run: _Run,
        outcome: Annotated[RunOutcome, Query(description="What became of the run")],
        run_id: Annotated[
            Annotated[str, LabelText(MAX_RUN_ID_CHARS, min_chars=1)] | None,
            Query(description="The tag `run_id` of the run's alerts; null: it is the name"),
        ] = None,
    ) -> RunReport:
        """Store the report of a run, in place of an earlier one. The reports of the last 90 runs are kept."""
        page = await request.body()
        _check_page(request.headers.get("content-type", ""), page)
        report = RunReport(run=run, run_id=run_id, outcome=outcome, posted_at=clock(), size_bytes=len(page))

        def store() -> None:
            with storage.exclusive("reports") as connection:
                queries.store_report(connection, report, page)

        await run_in_threadpool(store)
        return linked(report)

    @routes.put(
        "/reports/{run}/checks",
        status_code=204,
        dependencies=access.allow("signals"),
        responses=problem_responses(503, not_found="There is no report of this run"),
    )
    def put_checks(run: _Run, checks: RunChecks) -> None:
        """Store the results of a run's data checks and the durations of its steps, after its report.

        The dashboard shows the history of both.
        """
        with storage.transaction() as connection:
            if not queries.store_checks(connection, run, checks):
                raise _no_report(run)

    @routes.get("/reports", responses=problem_responses(503))
    def get_reports() -> RunReportList:
        """List the reports of the last runs, newest first."""
        with storage.read() as connection:
            return RunReportList(reports=[linked(report) for report in queries.list_reports(connection)])

    @routes.get(
        "/reports/{run}",
        response_class=HTMLResponse,
        responses=problem_responses(503, not_found="There is no report of this run"),
    )
    def get_report(run: _Run) -> HTMLResponse:
        """Show the report of a run."""
        with storage.read() as connection:
            page = queries.page_of(connection, run)
        if page is None:
            raise _no_report(run)
        return HTMLResponse(page, headers=REPORT_HEADERS)

    return routes


def _no_report(run: str) -> ProblemError:
    return ProblemError(404, f"There is no report of the run {run}.")


def _check_page(content_type: str, page: bytes) -> None:
    parsed = MimeMessage()
    parsed["content-type"] = content_type
    if parsed.get_content_type() != "text/html":
        raise invalid("header.content-type", "send the page with `Content-Type: text/html; charset=utf-8`")
    if not page:
        raise invalid("body", "the page is empty")
    try:
        page.decode()
    except UnicodeDecodeError as error:
        raise invalid("body", f"not UTF-8 (byte {error.start})") from error
