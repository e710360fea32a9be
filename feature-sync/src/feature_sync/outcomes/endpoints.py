"""HTTP API of outcomes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from contracts.moments import CLOCK_AHEAD, EARLIEST_EVENT, clamp_to_utc
from contracts.outcomes import OutcomeReport
from contracts.text import TypedText
from feature_sync.errors import OutcomesUnavailableError, UnusablePeriodError
from feature_sync.events.pending_outcomes import hour_of
from feature_sync.outcomes.report import OutcomeSums
from servicekit.bearer import Access
from servicekit.database_calls import DatabaseCalls, DatabaseTimeoutError
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

DEFAULT_PERIOD = timedelta(days=7)

_Moment = Annotated[AwareDatetime, AfterValidator(clamp_to_utc)]
_Since = Annotated[
    _Moment | None,
    Query(description="Exposures from the hour of this moment on; without it, of the 7 days before `until`"),
]


def router(sums: OutcomeSums, calls: DatabaseCalls, access: Access, now: Callable[[], datetime]) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["outcomes"])

    @made.get(
        "/outcomes",
        responses=problem_responses(service_unavailable="PostgreSQL doesn't answer"),
        dependencies=access.allow("admin"),
    )
    async def get_outcomes(
        version: Annotated[
            Annotated[str, TypedText(64)] | None, Query(description="Version of the model; without it, all")
        ] = None,
        since: _Since = None,
        until: Annotated[_Moment | None, Query(description="Exposures before the hour after it; now")] = None,
    ) -> OutcomeReport:
        """Return what came of exposures: rates with 95 % Wilson intervals, by version, variant, endpoint and position.

        An exposure counts in the hour in which it was shown, whenever its outcomes came: the newest rates still grow.
        """
        if until is not None and until < EARLIEST_EVENT:
            raise UnusablePeriodError(f"until lies before {EARLIEST_EVENT:%Y-%m-%d}, the earliest time of an event")
        latest = now() + CLOCK_AHEAD
        end = hour_of(min(until or now(), latest)) + timedelta(hours=1)
        begin = end - DEFAULT_PERIOD if since is None else hour_of(max(since, EARLIEST_EVENT))
        if begin >= end:
            raise UnusablePeriodError("since is after until: exchange them, or leave one out")
        try:
            return await calls.run(sums.report, begin, end, version)
        except (DBAPIError, PoolTimeoutError, DatabaseTimeoutError) as error:
            raise OutcomesUnavailableError("The database doesn't answer. Retry when it does.") from error

    return made
