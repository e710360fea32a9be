"""GET /summaries, GET /summaries/{id} and POST /summaries/send-now."""

from typing import Annotated

from fastapi import Path, Query

from contracts.query_values import WholeNumber
from notification_gateway.storage import Storage
from notification_gateway.summaries import queries
from notification_gateway.summaries.closing import Summaries
from notification_gateway.summaries.periods import Kind
from notification_gateway.summaries.schemas import SendNow, SentNow, Summary, SummaryDetail, SummaryPage
from servicekit.bearer import Access
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter


def router(storage: Storage, summaries: Summaries, access: Access) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(prefix="/summaries", tags=["summaries"])

    @routes.get("", responses=problem_responses(503))
    def get_summaries(
        kind: Annotated[Kind | None, Query(description="Only summaries of this kind")] = None,
        before: Annotated[
            Annotated[int, WholeNumber(1)] | None, Query(description="Only summaries with a lower id")
        ] = None,
        limit: Annotated[int, WholeNumber(1, 200), Query(description="How many")] = 50,
    ) -> SummaryPage:
        """List past summaries, newest first, and previews of those of the running periods."""
        with storage.read() as connection:
            stored, next_before = queries.list_summaries(connection, kind=kind, before=before, limit=limit)
            running = summaries.preview_running(connection)
        return SummaryPage(
            running=[each for each in running if kind in (None, each.kind)],
            summaries=[Summary.of(each) for each in stored],
            next_before=next_before,
        )

    @routes.get("/{summary_id}", responses=problem_responses(503, not_found="There is no such summary"))
    def get_summary(
        summary_id: Annotated[int, WholeNumber(1), Path(description="The summary's id")],
    ) -> SummaryDetail:
        """Show a summary with its content and text."""
        with storage.read() as connection:
            stored = queries.by_id(connection, summary_id)
        if stored is None:
            raise ProblemError(404, f"There is no readable summary {summary_id}.")
        return SummaryDetail.of(stored)

    @routes.post("/send-now", status_code=202, dependencies=access.allow("admin"), responses=problem_responses(503))
    def post_send_now(request: SendNow) -> SentNow:
        """Send the running period's summary now. The summary at the period's end then holds only what comes later."""
        summary_ids = summaries.send_now(request.kind)
        with storage.read() as connection:
            sent = [queries.by_id(connection, each) for each in summary_ids]
        return SentNow(summaries=[Summary.of(each) for each in sent if each is not None])

    return routes
