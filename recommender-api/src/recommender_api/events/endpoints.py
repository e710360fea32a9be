"""`POST /events`."""

from typing import Any

from fastapi import Body, Request, Response, status

from contracts.events import EventBatch, EventReceipt
from recommender_api.events.intake import EventIntake
from recommender_api.events.journal import JournalError
from recommender_api.events.receipts import EventProblem, event_problem
from servicekit.bearer import Access
from servicekit.bodies import MIB
from servicekit.problem_document import MEDIA_TYPE, Problem
from servicekit.problems import ProblemError, problem_responses
from servicekit.request_ids import request_id_of
from servicekit.routing import ApiRouter

# A thousand events with the longest ids fit, even if every character is escaped.
MAX_BODY_BYTES = 4 * MIB
_EXAMPLE = {
    "events": [
        {
            "event_id": "web-7f3a-1",
            "type": "purchase",
            "user_id": 7,
            "dataset_id": 13196,
            "request_id": "req_5f2b8c0d1e3a",
            "position": 0,
            "ts": "2026-11-24T12:00:00Z",
        },
        {
            "event_id": "web-7f3a-2",
            "type": "view",
            "user_id": "c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa",
            "dataset_id": "SKU-77",
            "ts": "2026-11-24T12:00:05+08:00",
        },
    ]
}
_REFUSED: dict[int | str, dict[str, Any]] = {
    422: {
        "model": EventProblem | Problem,
        "description": "Some events were rejected, the others accepted (`EventProblem`); or the body isn't a batch of "
        "1 to 1000 events, and nothing was accepted (`Problem`)",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/EventProblem"},
                        {"$ref": "#/components/schemas/Problem"},
                    ]
                }
            }
        },
    }
}


def router(intake: EventIntake, access: Access) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(tags=["events"])

    @routes.post(
        "/events",
        summary="Record behaviour events",
        status_code=status.HTTP_202_ACCEPTED,
        dependencies=access.allow("events"),
        max_body_size=MAX_BODY_BYTES,
        response_model=EventReceipt,
        responses=problem_responses(service_unavailable="The events could not be stored durably; send them again")
        | _REFUSED,
    )
    async def events(request: Request, batch: EventBatch = Body(examples=[_EXAMPLE])) -> Any:
        """Answers once every event is durable. An `event_id` counts once, so a batch may be sent again.

        Each event is validated by itself. If some are rejected, the answer is 422: it names them, and the others are
        accepted. `ts` lies between the year 2000 and five minutes from now.
        """
        try:
            taken = await intake.take(batch.events)
        except JournalError as error:
            raise ProblemError(
                503, f"The events could not be stored durably, send them again: {error}", headers={"Retry-After": "5"}
            ) from error
        if not taken.refused:
            return taken.receipt
        body = event_problem(
            request.scope["path"], request_id_of(request.scope), len(batch.events), taken.receipt, taken.refused
        )
        return Response(body, status.HTTP_422_UNPROCESSABLE_CONTENT, media_type=MEDIA_TYPE)

    return routes
