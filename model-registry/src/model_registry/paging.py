"""Pages of lists, newest first: what a list costs doesn't depend on how long it has become."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query
from sqlalchemy import Row

from contracts.model_versions import MAX_PAGE
from contracts.query_values import WholeNumber

# What a table on a screen shows; a list of it costs less than three calls of `/health`.
DEFAULT_LIMIT = 50
# The columns of versions and deployments are whole numbers of 32 bits.
_MAX_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class Page:
    """Which part of a list is wanted: at most so many, of those with a smaller number than `before`."""

    limit: int = DEFAULT_LIMIT
    before: int = _MAX_NUMBER


def _page(
    limit: Annotated[int, WholeNumber(1, MAX_PAGE), Query(description="Maximum number of lines")] = DEFAULT_LIMIT,
    before: Annotated[
        int, WholeNumber(1, _MAX_NUMBER), Query(description="Only older ones: `next_before` of the page before")
    ] = _MAX_NUMBER,
) -> Page:
    return Page(limit, before)


# The page that a call asks for, for an endpoint's arguments.
WantedPage = Annotated[Page, Depends(_page)]


def cut_page(rows: Sequence[Row[Any]], page: Page, number: str) -> tuple[list[Row[Any]], str | None]:
    """Return the rows of a page and its `next_before`, from one row more than it has; `number` is the column."""
    shown = list(rows[: page.limit])
    return shown, str(getattr(shown[-1], number)) if len(rows) > page.limit else None
