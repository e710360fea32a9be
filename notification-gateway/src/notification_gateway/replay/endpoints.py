"""GET /signals: the stored signals, for `alertctl replay`."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, Field

from contracts.moments import Moment
from contracts.query_values import WholeNumber
from notification_gateway.replay.stored_signals import Position, StoredSignal, read_page
from notification_gateway.storage import Storage
from servicekit.bearer import Access
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

MAX_PAGE = 1000
MAX_POSITION_CHARS = 100


def _check_position(value: object) -> object:
    if isinstance(value, str):
        Position.parse(value)
    return value


_Position = Annotated[str, BeforeValidator(_check_position)]


class SignalPage(BaseModel):
    """Stored signals in the order of arrival. Pass `next_after` as `after` to get the next page."""

    signals: Annotated[list[StoredSignal], Field(description="One page of signals")]
    unreadable: Annotated[
        int, Field(ge=0, description="The number of stored signals that can't be read and are left out")
    ] = 0
    next_after: Annotated[str | None, Field(description="null: there are no more")]


def router(storage: Storage, access: Access) -> ApiRouter:
    """Return the route."""
    routes = ApiRouter(tags=["signals"])

    @routes.get("/signals", dependencies=access.allow("admin"), responses=problem_responses(503))
    def get_signals(
        since: Annotated[Moment, Query(description="Only signals that arrived since then")],
        after: Annotated[
            _Position | None, Query(max_length=MAX_POSITION_CHARS, description="`next_after` of the page before")
        ] = None,
        limit: Annotated[int, WholeNumber(1, MAX_PAGE), Query(description="How many")] = 500,
    ) -> SignalPage:
        """List the stored signals, oldest first."""
        with storage.read() as connection:
            page = read_page(connection, since, None if after is None else Position.parse(after), limit)
        next_after = None if page.next_after is None else str(page.next_after)
        return SignalPage(signals=page.signals, unreadable=page.unreadable, next_after=next_after)

    return routes
