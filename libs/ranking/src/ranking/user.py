"""A user as the ranker sees one: long-term features, and a weighted recent history in catalogue positions."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.events import InteractionType
from contracts.features import USER_FEATURES
from contracts.user_blob import History
from ranking.item_stats import DAY
from ranking.jit import compiled

# How much an interaction says about interest, by `InteractionType`.
STRENGTH = np.array([0.0, 1.0, 1.0, 2.0, 3.0], np.float32)
_EXPOSURE = int(InteractionType.EXPOSURE)


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
    items, weights, seen = _interest(positions, history.ts, history.types, half_life_days, limit)
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
    items, weights, _ = _interest(positions, history.ts, history.types, half_life_days, limit)
    return items, weights


@compiled
def _interest(
    positions: NDArray[np.int32],
    ts: NDArray[np.int64],
    types: NDArray[np.uint8],
    half_life_days: float,
    limit: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """Return what `recent_interest` does, and all that is no news to the user."""
    seen = np.empty(len(positions), np.int32)
    strengths = np.empty(len(positions), np.float64)
    count = 0
    newest = np.int64(0)
    for entry in range(len(positions)):
        if positions[entry] < 0 or types[entry] == _EXPOSURE:
            continue
        if count == 0:
            newest = ts[entry]
        seen[count] = positions[entry]
        age_days = (newest - ts[entry]) / DAY
        strengths[count] = STRENGTH[types[entry]] * np.exp2(-age_days / half_life_days)
        count += 1
    recent = min(count, limit)
    total = strengths[:recent].sum()
    weights = np.empty(recent, np.float32)
    for entry in range(recent):
        weights[entry] = strengths[entry] / total
    return seen[:recent].copy(), weights, seen[:count].copy()
