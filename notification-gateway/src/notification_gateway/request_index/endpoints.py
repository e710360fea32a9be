"""POST /requests and GET /requests/{request_id}."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import Path

from contracts.request_records import (
    REQUEST_ID_PATTERN,
    RequestBatch,
    RequestReceipt,
    read_record,
)
from notification_gateway.metrics import Metrics
from notification_gateway.request_index.queries import (
    INDEX_RETENTION,
    count_left_out,
    find_requests,
    incidents_of,
    left_out_since,
    store_requests,
)
from notification_gateway.request_index.schemas import FoundRequest, FoundRequests
from notification_gateway.storage import Storage
from servicekit.bearer import Access
from servicekit.bodies import MIB
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

# Enough for a thousand records.
MAX_BODY_BYTES = 4 * MIB

RequestId = Annotated[str, Path(pattern=REQUEST_ID_PATTERN, description="X-Request-ID of the request")]


def router(storage: Storage, access: Access, clock: Callable[[], datetime], metrics: Metrics) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(tags=["requests"])

    @routes.post(
        "/requests",
        status_code=202,
        dependencies=access.allow("signals"),
        responses=problem_responses(503),
        max_body_size=MAX_BODY_BYTES,
    )
    def post_requests(batch: RequestBatch) -> RequestReceipt:
        """Store degraded and failed requests. Unreadable and too old ones are counted, and the others are stored."""
        now = clock()
        read = [record for each in batch.requests if (record := read_record(each)) is not None]
        # The sender's clock may be ahead; what is older than the index would be deleted at once.
        records = [
            record.model_copy(update={"at": min(record.at, now)})
            for record in read
            if record.at > now - INDEX_RETENTION
        ]
        rejected = len(batch.requests) - len(records)
        with storage.transaction() as connection:
            store_requests(connection, records)
            if batch.left_out + rejected:
                count_left_out(connection, batch.service, batch.left_out + rejected, now)
        metrics.requests.labels("accepted").inc(len(records))
        metrics.requests.labels("rejected").inc(rejected)
        metrics.requests.labels("left_out").inc(batch.left_out)
        return RequestReceipt(accepted=len(records), rejected=rejected)

    @routes.get(
        "/requests/{request_id}",
        dependencies=access.allow("admin"),
        responses=problem_responses(503, not_found="No request of that id was degraded or failed in seven days"),
    )
    def get_request(request_id: RequestId) -> FoundRequests:
        """Return what is known of a degraded or failed request."""
        with storage.read() as connection:
            found = [
                FoundRequest(**record.model_dump(), incident_ids=[each.id for each in incidents_of(connection, record)])
                for record in find_requests(connection, request_id)
            ]
            left_out = left_out_since(connection, clock() - INDEX_RETENTION)
        if not found:
            raise ProblemError(404, _not_found(request_id, left_out))
        return FoundRequests(requests=found)

    return routes


def _not_found(request_id: str, left_out: int) -> str:
    detail = f"No request {request_id} was degraded or failed within {INDEX_RETENTION.days} days."
    if left_out:
        detail += f" But {left_out} requests were left out of the index; the log may have it."
    return detail
