"""A user as the ranker sees one: long-term features, and a weighted recent history in catalogue positions."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.events import InteractionType
from contracts.features import USER_FEATURES
from contracts.user_blob import MAX_LONG_TERM, PackedHistory
from ranking.item_stats import DAY
from ranking.jit import compiled

# How much an interaction says about interest, by `InteractionType`.
STRENGTH = np.array([0.0, 1.0, 1.0, 2.0, 3.0], np.float32)
_EXPOSURE = int(InteractionType.EXPOSURE)


def default_features() -> NDArray[np.float32]:
    """Return the features of a user about whom nothing is known."""
    return np.array([feature.default for feature in USER_FEATURES], np.float32)


NOTHING_KNOWN = default_features()


class User(NamedTuple):
    """`features` in the order of `USER_FEATURES`; `items` newest first with `weights` that sum to 1; all float32.

    `seen` are the positions that are no news to the user, `items` among them: what recall leaves out.
    """

    features: NDArray[np.float32] = NOTHING_KNOWN
    items: NDArray[np.int32] = np.empty(0, np.int32)
    weights: NDArray[np.float32] = np.empty(0, np.float32)
    seen: NDArray[np.int32] = np.empty(0, np.int32)


def make_user(
    features: NDArray[np.float32] | None,
    long_term: PackedHistory,
    live: PackedHistory,
    ids: NDArray[np.int64],
    *,
    half_life_days: float,
    limit: int,
) -> User:
    """Return a user by long-term features (None: nothing is known), and history with `live` on top (`History.merge`).

    `ids` [n] are those of the catalogue, ascending. The items are the latest `limit` that the catalogue holds and the
    user was not merely shown; a weight is the interaction's strength, halved every `half_life_days` before the newest.
    """
    items, weights, seen = interest(*long_term, *live, ids, half_life_days, limit)
    return User(NOTHING_KNOWN if features is None else features, items, weights, seen)


def user_features(types: NDArray[np.uint8], prices: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the long-term features from all of a user's interactions: their types and the items' prices, both [k]."""
    interest = types != InteractionType.EXPOSURE
    count = int(interest.sum())
    if not count:
        return default_features()
    purchases = int((types == InteractionType.PURCHASE).sum())
    mean_price = np.log1p(np.maximum(prices[interest], 0)).mean(dtype=np.float64)
    return np.array([np.log1p(count), (purchases + 1.0) / (count + 10.0), mean_price], np.float32)


@compiled
def interest(
    long_term: bytes,
    long_term_start: int,
    long_term_count: int,
    live: bytes,
    live_start: int,
    live_count: int,
    catalogue: NDArray[np.int64],
    half_life_days: float,
    limit: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """Return what `make_user` does, from two packed histories: items, their weights, and what was seen."""
    first = _unpacked(live, live_start, live_count)
    second = _unpacked(long_term, long_term_start, long_term_count)
    ids, ts, types = second if live_count == 0 else _merged(first, second)
    positions = np.empty(len(ids), np.int32)
    for entry in range(len(ids)):
        place = np.searchsorted(catalogue, ids[entry])
        positions[entry] = place if place < len(catalogue) and catalogue[place] == ids[entry] else -1
    seen = np.empty(len(positions), np.int32)
    strengths = np.empty(len(positions), np.float64)
    count = 0
    newest = np.int64(0)
    for entry in range(len(positions)):
        if positions[entry] < 0 or types[entry] == _EXPOSURE or types[entry] >= len(STRENGTH):
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


@compiled
def _unpacked(data: bytes, start: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Return what `History.unpack` does, byte by byte: the entries lie at odd addresses."""
    ids = np.empty(count, np.int64)
    ts = np.empty(count, np.int64)
    types = np.empty(count, np.uint8)
    for entry in range(count):
        dataset = np.uint64(0)
        for byte in range(8):
            dataset |= np.uint64(data[start + entry * 8 + byte]) << np.uint64(8 * byte)
        seconds = np.uint64(0)
        for byte in range(4):
            seconds |= np.uint64(data[start + count * 8 + entry * 4 + byte]) << np.uint64(8 * byte)
        ids[entry], ts[entry] = np.int64(dataset), np.int64(seconds)
        types[entry] = data[start + count * 12 + entry]
    return ids, ts, types


@compiled
def _merged(
    first: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]],
    second: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Return what `History.merge` does: newest first, of each dataset the newest time and the strongest type."""
    (first_ids, first_ts, first_types), (second_ids, second_ts, second_types) = first, second
    all_of_them = len(first_ids) + len(second_ids)
    ids = np.empty(all_of_them, np.int64)
    ts = np.empty(all_of_them, np.int64)
    types = np.empty(all_of_them, np.uint8)
    count = here = there = 0
    while here < len(first_ids) or there < len(second_ids):
        if here == len(first_ids):
            takes_first = False
        elif there == len(second_ids):
            takes_first = True
        elif first_ts[here] != second_ts[there]:
            takes_first = first_ts[here] > second_ts[there]
        else:
            takes_first = first_ids[here] <= second_ids[there]
        if takes_first:
            dataset, seconds, kind = first_ids[here], first_ts[here], first_types[here]
            here += 1
        else:
            dataset, seconds, kind = second_ids[there], second_ts[there], second_types[there]
            there += 1
        place = 0
        while place < count and ids[place] != dataset:
            place += 1
        if place < count:
            types[place] = max(types[place], kind)
        else:
            ids[count], ts[count], types[count] = dataset, seconds, kind
            count += 1
    count = min(count, MAX_LONG_TERM)
    return ids[:count], ts[:count], types[:count]
