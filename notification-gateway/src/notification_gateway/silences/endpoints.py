"""POST, GET and DELETE /silences."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from contracts.moments import Moment
from contracts.query_values import WholeNumber
from contracts.text import TypedText
from notification_gateway.silences import queries
from notification_gateway.silences.model import NewMatcher, Silence
from notification_gateway.storage import Storage
from servicekit.bearer import Access
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

MAX_LENGTH = timedelta(days=30)
MAX_AHEAD = timedelta(days=365)


class NewSilence(BaseModel):
    """The body of POST /silences: from `starts_at` (default: now) for `minutes`."""

    model_config = ConfigDict(extra="forbid")

    matcher: Annotated[
        NewMatcher, Field(description="Which incidents it covers", examples=[{"fingerprint": ["redis", "*"]}])
    ]
    starts_at: Annotated[Moment | None, Field(description="At most a year ahead")] = None
    minutes: Annotated[
        int,
        Field(strict=True, ge=1, le=MAX_LENGTH // timedelta(minutes=1), description="At most 30 days", examples=[120]),
    ]
    reason: Annotated[
        str,
        TypedText(1000, min_chars=1),
        Field(examples=["planned upgrade of Redis"], description="Why, for the list of silences"),
    ]
    created_by: Annotated[str, TypedText(128, min_chars=1), Field(description="Who silences", examples=["li.wei"])]


class SilenceList(BaseModel):
    """Current and future silences, the next to end first."""

    silences: Annotated[list[Silence], Field(description="The silences")]


def router(storage: Storage, access: Access, clock: Callable[[], datetime]) -> ApiRouter:
    """Return the routes of /silences."""
    routes = ApiRouter(
        prefix="/silences", tags=["silences"], dependencies=access.allow("admin"), responses=problem_responses(503)
    )

    @routes.post("", status_code=201)
    def post_silence(new: NewSilence) -> Silence:
        """Silence matching signals for a time: no notifications are sent. They are still recorded."""
        now = clock()
        starts_at = new.starts_at or now
        if not now - MAX_LENGTH <= starts_at <= now + MAX_AHEAD:
            raise ProblemError(422, "starts_at: a silence must start within a year and end in the future")
        ends_at = starts_at + timedelta(minutes=new.minutes)
        if ends_at <= now:
            raise ProblemError(422, "starts_at: the silence must end in the future")
        with storage.transaction() as connection:
            return queries.add_silence(
                connection,
                new.matcher,
                starts_at,
                ends_at,
                reason=new.reason,
                created_by=new.created_by,
                now=now,
            )

    @routes.get("")
    def get_silences() -> SilenceList:
        """List the current and future silences."""
        with storage.read() as connection:
            return SilenceList(silences=queries.list_unexpired(connection, clock()))

    @routes.delete("/{silence_id}", status_code=204, responses=problem_responses(not_found="There is no such silence"))
    def delete_silence(silence_id: Annotated[int, WholeNumber(1), Path(description="The silence's id")]) -> None:
        """End a silence. An ongoing incident is notified with its next signal."""
        with storage.transaction() as connection:
            if not queries.remove_silence(connection, silence_id):
                raise ProblemError(404, f"There is no silence {silence_id}.")

    return routes
