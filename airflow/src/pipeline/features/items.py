"""The bundle's data of each dataset as of the end of the data."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.recall import content_vectors
from pipeline.records import Records
from ranking.features import ItemTable, item_table, log_prices
from ranking.popularity import LONG_HALF_LIFE_DAYS, popular_at
from ranking.recall import Popular
from ranking.user import INTERACTION_WEIGHTS

POPULAR_SIZE = 500
TRENDING_SIZE = 200
_TIMEFRAMES = {"1h": 3600, "24h": 86_400}


class ItemState(NamedTuple):
    """`rows` float32 [n, item features]; the rest as in the bundle."""

    table: ItemTable
    rows: NDArray[np.float32]
    popular: Popular
    popular_30d: Popular
    trending: dict[str, list[int]]


def item_state(records: Records, seed: int) -> ItemState:
    """Compute the state of all datasets at `records.end`."""
    stats = records.new_stats()
    stats.add(records.item, records.ts, records.types)
    n = len(records.catalogue)
    popular = popular_at(stats, records.end, POPULAR_SIZE)
    return ItemState(
        item_table(
            content_vectors(records, seed),
            provider_codes(records.catalogue.providers),
            log_prices(records.catalogue.prices),
        ),
        stats.rows(np.arange(n, dtype=np.int32), records.end),
        _fill_up(popular, n),
        popular_at(stats, records.end, POPULAR_SIZE, LONG_HALF_LIFE_DAYS),
        {name: _trending(records, seconds, popular) for name, seconds in _TIMEFRAMES.items()},
    )


def provider_codes(providers: Sequence[str | None]) -> NDArray[np.int32]:
    """Return int32 [n]: one code per provider, and a unique negative code for each dataset without one."""
    names = {name: code for code, name in enumerate(sorted({provider for provider in providers if provider}))}
    return np.array(
        [names[provider] if provider else -1 - position for position, provider in enumerate(providers)], np.int32
    )


def _fill_up(popular: Popular, n: int) -> Popular:
    """Append datasets without interactions while the list is short: it is the last fallback."""
    missing = min(POPULAR_SIZE, n) - len(popular.items)
    others = np.setdiff1d(np.arange(n, dtype=np.int32), popular.items)[:missing]
    return Popular(
        np.concatenate([popular.items, others]), np.concatenate([popular.scores, np.zeros(len(others), np.float32)])
    )


def _trending(records: Records, seconds: int, popular: Popular) -> list[int]:
    """Return positions by weighted interactions in the last `seconds`, filled up with popular ones."""
    recent = records.ts >= records.end - seconds
    counts = np.bincount(records.item[recent], INTERACTION_WEIGHTS[records.types[recent]], len(records.catalogue))
    order = np.argsort(-counts, kind="stable")
    hot: list[int] = order[counts[order] > 0][:TRENDING_SIZE].tolist()
    known = set(hot)
    return (hot + [item for item in popular.items.tolist() if item not in known])[:TRENDING_SIZE]
