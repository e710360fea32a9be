"""A user as the ranker sees one: long-term features, and a weighted recent history in catalogue positions."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.events import InteractionType
from contracts.features import USER_FEATURES
from contracts.user_blob import History
from ranking.item_stats import DAY

# How much an interaction says about interest, by `InteractionType`.
STRENGTH = np.array([0.0, 1.0, 1.0, 2.0, 3.0], np.float32)


def default_features() -> NDArray[np.float32]:
    """Return the features of a user about whom nothing is known."""
    return np.array([feature.default for feature in USER_FEATURES], np.float32)


@dataclass(frozen=True)
class User:
    """`features` in the order of `USER_FEATURES`; `items` newest first with `weights` that sum to 1; all float32.

    `seen` are the positions that are no news to the user, `items` among them: what recall leaves out.
    """

    features: NDArray[np.float32] = field(default_factory=default_features)
    items: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    weights: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    seen: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))


def make_user(
    features: NDArray[np.float32] | None,
    history: History,
    positions: NDArray[np.int32],
    *,
    half_life_days: float,
    limit: int,
) -> User:
    """Return a user by long-term features (None: nothing is known) and history; arguments as `recent_interest`."""
    items, weights = recent_interest(history, positions, half_life_days=half_life_days, limit=limit)
    seen = positions[(positions >= 0) & (history.types != InteractionType.EXPOSURE)]
    return User(default_features() if features is None else features, items, weights, seen)


def user_features(types: NDArray[np.uint8], prices: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the long-term features from all of a user's interactions: their types and the items' prices, both [k]."""
    interest = types != InteractionType.EXPOSURE
    count = int(interest.sum())
    if not count:
        return default_features()
    purchases = int((types == InteractionType.PURCHASE).sum())
    mean_price = np.log1p(np.maximum(prices[interest], 0)).mean(dtype=np.float64)
    return np.array([np.log1p(count), (purchases + 1.0) / (count + 10.0), mean_price], np.float32)


def recent_interest(
    history: History, positions: NDArray[np.int32], *, half_life_days: float, limit: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the latest `limit` known items of a history and their weights, which sum to 1.

    `positions` [h] are the catalogue positions of `history.ids`, -1 for a dataset that the catalogue doesn't hold.
    A weight is the interaction's strength, halved every `half_life_days` before the newest one.
    """
    known = np.flatnonzero((positions >= 0) & (history.types != InteractionType.EXPOSURE))[:limit]
    if not len(known):
        return np.empty(0, np.int32), np.empty(0, np.float32)
    ts = history.ts[known]
    age_days = (ts[0] - ts) / DAY
    weights = STRENGTH[history.types[known]] * np.exp2(-age_days / half_life_days)
    return positions[known], (weights / weights.sum()).astype(np.float32)
