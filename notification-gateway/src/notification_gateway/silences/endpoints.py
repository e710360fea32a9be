"""POST, GET and DELETE /silences."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Self

from fastapi import Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, model_validator

from contracts.query_values import WholeNumber
from notification_gateway.silences import queries
from notification_gateway.silences.model import Matcher, Silence
from notification_gateway.storage import Storage
from servicekit.bearer import bearer_guard
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

MAX_LENGTH = timedelta(days=30)


class NewSilence(BaseModel):
    """The body of POST /silences: from `starts_at` (default: now) for `minutes`."""

    model_config = ConfigDict(extra="forbid")

    matcher: Matcher
    starts_at: AwareDatetime | None = None
    minutes: Annotated[
        int, Field(strict=True, ge=1, le=MAX_LENGTH // timedelta(minutes=1), description="At most 30 days")
    ]
    reason: Annotated[str, Field(min_length=1, max_length=1000, examples=["planned upgrade of Redis"])]
    created_by: Annotated[str, Field(min_length=1, max_length=128)]

    @model_validator(mode="after")
    def _is_text(self) -> Self:
        if "\0" in self.reason + self.created_by:
            raise ValueError("reason and created_by must not hold NUL characters")
        return self


class SilenceList(BaseModel):
    """Silences that hold now or later, the next to end first."""

    silences: list[Silence]


def router(storage: Storage, token: SecretStr, clock: Callable[[], datetime]) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(
        prefix="/silences", tags=["silences"], dependencies=bearer_guard(token), responses=problem_responses(401, 503)
    )

    @routes.post("", status_code=201)
    def post_silence(new: NewSilence) -> Silence:
        """Tell nobody, for a time, of what matches. It is recorded all the same."""
        now = clock()
        starts_at = new.starts_at or now
        ends_at = starts_at + timedelta(minutes=new.minutes)
        if not now < ends_at <= now + 2 * MAX_LENGTH:
            raise ProblemError(422, "starts_at: the silence must end in the future, and start within 30 days")
        with storage.writing() as connection:
            return queries.add(
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
        """List the silences that hold now or later."""
        with storage.reading() as connection:
            return SilenceList(silences=queries.listed(connection, clock()))

    @routes.delete("/{silence_id}", status_code=204, responses=problem_responses(404))
    def delete_silence(silence_id: Annotated[int, WholeNumber(1), Path(description="The silence's id")]) -> None:
        """End a silence; an incident that goes on is told of with its next signal."""
        with storage.writing() as connection:
            if not queries.remove(connection, silence_id):
                raise ProblemError(404, f"There is no silence {silence_id}.")

    return routes
