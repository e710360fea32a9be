"""The query, in ids, and the key under which its answers are cached."""

import hashlib
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from contracts.redis_keys import Timeframe
from ranking.catalogue import Catalogue
from ranking.engine import Keep
from recommender_api.answers.stored import LAYOUT

# Many callers send the same queries, so the results for this many short ones are cached.
MOST_REMEMBERED = 1024


class Endpoint(StrEnum):
    """The kinds of queries; the value is the `endpoint` label of metrics and events."""

    SIMILAR = "/similar"
    DETAIL = "/recommend/detail"
    USER = "/recommend/user"
    TRENDING = "/hot/trending"


class Filters(NamedTuple):
    """Datasets that an answer must not contain; the filters apply at every fallback level."""

    exclude: tuple[int, ...] = ()
    max_price: float | None = None
    tag: str | None = None

    @property
    def refuse_nothing(self) -> bool:
        """Whether the filters allow every dataset."""
        return not self.exclude and self.max_price is None and self.tag is None

    def over(self, catalogue: Catalogue) -> Keep | None:
        """Return the filter over positions of a catalogue, None if it allows everything."""
        if self.refuse_nothing:
            return None
        excluded = catalogue.positions(np.array(sorted(self.exclude), np.int64))
        tagged = None if self.tag is None else catalogue.tagged(self.tag)

        def keep(positions: NDArray[np.int32]) -> NDArray[np.bool_]:
            mask = ~np.isin(positions, excluded)
            if self.max_price is not None:
                mask &= catalogue.prices[positions] <= self.max_price
            if tagged is not None:
                mask &= np.isin(positions, tagged)
            return mask

        return keep


_NO_FILTERS = Filters()


class Query(NamedTuple):
    """A query as the caller sent it; an id that was sent as text is stored beside its number."""

    endpoint: Endpoint
    limit: int
    dataset_id: int | None = None
    user_id: int | None = None
    timeframe: Timeframe | None = None
    filters: Filters = _NO_FILTERS
    explain: bool = False
    external_dataset_id: str | None = None
    external_user_id: str | None = None

    def digest(self) -> str:
        """Return a text that is the same for equal queries and different for different ones."""
        return _digest(self) if self.filters.exclude else _remembered_digest(self)


def _digest(query: Query) -> str:
    exclude, max_price, tag = query.filters
    parts = (
        LAYOUT,
        query.endpoint,
        query.limit,
        query.dataset_id,
        query.user_id,
        query.timeframe,
        sorted(set(exclude)),
        max_price,
        None if tag is None else tag.casefold(),
        query.explain,
    )
    return hashlib.blake2b(orjson.dumps(parts), digest_size=16).hexdigest()


_remembered_digest = lru_cache(maxsize=MOST_REMEMBERED)(_digest)
