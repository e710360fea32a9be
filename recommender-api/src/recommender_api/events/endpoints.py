"""`POST /events`."""

from fastapi import Body, status
from pydantic import SecretStr

from contracts.events import EventBatch, EventReceipt
from recommender_api.events.intake import EventIntake
from recommender_api.events.journal import JournalError
from servicekit.bearer import bearer_guard
from servicekit.bodies import MIB
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

# A thousand events with the longest ids take half of it.
MAX_BODY_BYTES = 2 * MIB
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
        }
    ]
}


def router(intake: EventIntake, token: SecretStr) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(tags=["events"])

    @routes.post(
        "/events",
        summary="Tell what users did",
        status_code=status.HTTP_202_ACCEPTED,
        dependencies=bearer_guard(token),
        max_body_size=MAX_BODY_BYTES,
        responses=problem_responses(401, 503),
    )
    async def events(batch: EventBatch = Body(examples=[_EXAMPLE])) -> EventReceipt:
        """Answered once every event is durable. The same `event_id` counts once, so a batch may be sent again."""
        try:
            return await intake.take(batch.events)
        except JournalError as error:
            raise ProblemError(
                503, f"The events could not be made durable, send them again: {error}", headers={"Retry-After": "5"}
            ) from error

    return routes
