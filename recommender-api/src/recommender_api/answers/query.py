"""A caller's question, in ids, and the key under which its answers are kept."""

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

# Many ask the same: what is found out about so many short questions is kept.
MOST_REMEMBERED = 1024


class Endpoint(StrEnum):
    """The questions that can be asked; the value is the `endpoint` of metrics and events."""

    SIMILAR = "/similar"
    DETAIL = "/recommend/detail"
    USER = "/recommend/user"
    TRENDING = "/hot/trending"


class Filters(NamedTuple):
    """What must not be in an answer; they hold at every fallback level."""

    exclude: tuple[int, ...] = ()
    max_price: float | None = None
    tag: str | None = None

    @property
    def refuse_nothing(self) -> bool:
        """Whether an answer may hold anything."""
        return not self.exclude and self.max_price is None and self.tag is None

    def over(self, catalogue: Catalogue) -> Keep | None:
        """Return the filter over positions of a catalogue, None if it refuses nothing."""
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
    """A question as it was asked; ids that were asked as a text have it beside their number."""

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
        """Return the same text for the same question, and another for any other."""
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
