"""A user as the ranker sees one: long-term features, and a weighted recent history in catalogue positions."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.events import INTERACTION_WEIGHT, InteractionType
from contracts.features import SESSION_FEATURES, USER_FEATURES
from contracts.user_blob import MAX_LONG_TERM, PackedHistory
from ranking.item_stats import DAY, HOUR
from ranking.jit import Fields, compiled

# By `InteractionType`.
INTERACTION_WEIGHTS = np.array([INTERACTION_WEIGHT[each] for each in InteractionType], np.float32)
_EXPOSURE, _PURCHASE = int(InteractionType.EXPOSURE), int(InteractionType.PURCHASE)
# With every so many newer interactions, the weight of one in the recent habits falls to 1/e.
_HABIT_INTERACTIONS = 4.0
# Recent weights below this share of the first one are left out.
_LEAST_RECENT = 1e-3


def default_features() -> NDArray[np.float32]:
    """Return the features of an unknown user."""
    return np.array([feature.default for feature in USER_FEATURES], np.float32)


NOTHING_KNOWN = default_features()
NO_SESSION = np.array([feature.default for feature in SESSION_FEATURES], np.float32)
# The time of a query that has none.
NO_TIME = 0


def complete_features(features: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return long-term features with defaults in place of those that an earlier release doesn't have (None: all)."""
    if features is None:
        return NOTHING_KNOWN
    if len(features) >= len(NOTHING_KNOWN):
        return features
    return np.concatenate([features, NOTHING_KNOWN[len(features) :]])


class User(NamedTuple):
    """`features` are `USER_FEATURES`, then declared columns if they are known; all weights and features are float32.

    `items` are newest first, with `weights` that sum to 1. `seen` are the positions that recall leaves out because the
    user knows them, `items` among them. `recent` are weights of the first of `items` that fall with their rank as well,
    and sum to 1. `session` is in the order of `SESSION_FEATURES`.
    """

    features: NDArray[np.float32] = NOTHING_KNOWN
    items: NDArray[np.int32] = np.empty(0, np.int32)
    weights: NDArray[np.float32] = np.empty(0, np.float32)
    seen: NDArray[np.int32] = np.empty(0, np.int32)
    recent: NDArray[np.float32] = np.empty(0, np.float32)
    session: NDArray[np.float32] = NO_SESSION


class HistoryContext(NamedTuple):
    """What a history is decoded with: the ids of the catalogue [n], ascending, and how it is weighted.

    The items are the latest `limit` ones in the catalogue, without mere exposures. A weight is the interaction's
    weight, halved every `half_life_days` before the newest; a recent one also falls to 1/e every `recent_ranks` items.
    """

    ids: NDArray[np.int64]
    half_life_days: float
    recent_ranks: float
    limit: int


class _Entries(NamedTuple):
    """The columns of a history, all of one length: dataset ids, Unix seconds, and `InteractionType`."""

    ids: NDArray[np.int64]
    ts: NDArray[np.int64]
    types: NDArray[np.uint8]


def make_user(
    features: NDArray[np.float32] | None,
    long_term: PackedHistory,
    live: PackedHistory,
    context: HistoryContext,
    at: int,
) -> User:
    """Return a user as of `at` (Unix seconds) by long-term features (None: unknown) and history.

    `live` is merged into the history (`History.merge`).
    """
    decoded = decode_user(tuple(long_term), tuple(live), tuple(context), at)
    return User(complete_features(features), *decoded)


def user_features(
    types: NDArray[np.uint8], prices: NDArray[np.float32], trends: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the long-term features from all of a user's interactions in ascending time.

    `types` [k] are theirs and `prices` [k] the items'. `trends` [k, 3] are the columns item_popularity_1d,
    item_popularity_7d and item_age_days of the items just before.
    """
    return _summarize_interactions(types, prices, trends)


@compiled
def _summarize_interactions(
    types: NDArray[np.uint8], prices: NDArray[np.float32], trends: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Compiled part of `user_features`."""
    count = purchases = 0
    price = falling = 0.0
    habits, latest = np.zeros(3), np.zeros(3)
    # From the newest on, which has the greatest weight among the recent habits.
    for row in range(len(types) - 1, -1, -1):
        if types[row] == _EXPOSURE:
            continue
        weight = np.exp(-count / _HABIT_INTERACTIONS)
        falling += weight
        for column in range(3):
            habits[column] += trends[row, column]
            latest[column] += weight * trends[row, column]
        price += np.log1p(max(np.float64(prices[row]), 0.0))
        purchases += types[row] == _PURCHASE
        count += 1
    if count == 0:
        return NOTHING_KNOWN.copy()
    found = np.empty(len(NOTHING_KNOWN), np.float32)
    found[0], found[1], found[2] = np.log1p(count), (purchases + 1.0) / (count + 10.0), price / count
    for column in range(3):
        found[3 + column] = habits[column] / count
    found[6], found[7] = latest[0] / falling, latest[2] / falling
    return found


@compiled
def decode_user(
    long_term: Fields, live: Fields, context: Fields, at: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Compiled part of `make_user`, from two `PackedHistory` and a `HistoryContext`.

    Return all of a `User` but its features.
    """
    newer = PackedHistory(*live)
    catalogue, half_life_days, recent_ranks, limit = HistoryContext(*context)
    history = _unpack_histories(newer, PackedHistory(*long_term))
    ids, ts, types = history
    entries = _merge_histories(history, newer.entries)
    places = _find_positions(catalogue, ids)
    positions = np.empty(len(entries), np.int32)
    known = np.empty(len(entries), np.int32)
    count = np.uint64(0)
    for entry in entries:
        place = places[entry]
        # Without a branch, because a CPU can't predict it.
        positions[count], known[count] = place, entry
        held = place < len(catalogue) and catalogue[place] == ids[entry]
        count += np.uint64(held & (types[entry] != _EXPOSURE) & (types[entry] < len(INTERACTION_WEIGHTS)))
    recent = min(int(np.int64(count)), limit)
    strengths = np.empty(recent, np.float64)
    for number in range(recent):
        age_days = (ts[known[0]] - ts[known[number]]) / DAY
        strengths[number] = INTERACTION_WEIGHTS[types[known[number]]] * np.exp2(-age_days / half_life_days)
    total = strengths.sum()
    weights = np.empty(recent, np.float32)
    for number in range(recent):
        weights[number] = strengths[number] / total
    session = _summarize_session(ts, known[:recent], at)
    return positions[:recent].copy(), weights, positions[:count], _fall_by_rank(strengths, recent_ranks), session


@compiled
def _summarize_session(ts: NDArray[np.int64], entries: NDArray[np.int32], at: int) -> NDArray[np.float32]:
    """Return `User.session` from the times of some entries, newest first."""
    session = NO_SESSION.copy()
    if len(entries) == 0 or at == NO_TIME:
        return session
    # A clock of another machine may be ahead.
    session[0] = np.log1p(max(at - ts[entries[0]], 0) / HOUR)
    in_hour = in_day = 0
    for entry in entries:
        age = at - ts[entry]
        in_hour += age <= HOUR
        in_day += age <= DAY
    session[1], session[2] = np.log1p(in_hour), np.log1p(in_day)
    return session


@compiled
def _fall_by_rank(strengths: NDArray[np.float64], ranks: float) -> NDArray[np.float32]:
    """Return weights that sum to 1, of the first of `strengths`: the later ones would change no vote."""
    count = min(len(strengths), int(np.ceil(-np.log(_LEAST_RECENT) * ranks)))
    fallen = np.empty(count, np.float64)
    for rank in range(count):
        fallen[rank] = strengths[rank] * np.exp(-rank / ranks)
    total = fallen.sum()
    weights = np.empty(count, np.float32)
    for rank in range(count):
        weights[rank] = fallen[rank] / total
    return weights


@compiled
def _find_positions(catalogue: NDArray[np.int64], datasets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return for each dataset the position of the last id that is not greater, or 0: its own if the catalogue has it.

    A binary search for all datasets at once and without branches, because half of the predictions would be wrong.
    """
    places = np.zeros(len(datasets), np.uint64)
    if len(catalogue) == 0:
        return places
    bits = np.uint64(0)
    while len(catalogue) >> (bits + np.uint64(1)):
        bits += np.uint64(1)
    rest = np.uint64(len(catalogue)) - (np.uint64(1) << bits)
    for number in range(len(datasets)):
        places[number] = rest * np.uint64(catalogue[rest] <= datasets[number])
    while bits > 0:
        bits -= np.uint64(1)
        half = np.uint64(1) << bits
        for number in range(len(datasets)):
            places[number] += np.uint64(catalogue[places[number] + half] <= datasets[number]) << bits
    return places


@compiled
def _unpack_histories(live: PackedHistory, long_term: PackedHistory) -> _Entries:
    """Return `History.unpack` of two histories, each followed by an entry that is older than any."""
    room = live.entries + long_term.entries + 2
    ids, ts, types = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint8)
    _unpack(live, _Entries(ids, ts, types))
    ts[live.entries] = -1
    rest = live.entries + 1
    _unpack(long_term, _Entries(ids[rest:], ts[rest:], types[rest:]))
    ts[room - 1] = -1
    return _Entries(ids, ts, types)


@compiled
def _unpack(packed: PackedHistory, out: _Entries) -> None:
    """Read entries byte by byte: they are not aligned."""
    data, ids, ts, types = packed.data, out.ids, out.ts, out.types
    # Unsigned, because Numba adds a check for negative indices to signed ones.
    at, length = np.uint64(packed.start), np.uint64(packed.entries)
    for entry in range(length):
        dataset = np.uint64(0)
        for byte in range(np.uint64(8)):
            dataset |= np.uint64(data[at + entry * np.uint64(8) + byte]) << (np.uint64(8) * byte)
        seconds = np.uint64(0)
        for byte in range(np.uint64(4)):
            place = at + length * np.uint64(8) + entry * np.uint64(4) + byte
            seconds |= np.uint64(data[place]) << (np.uint64(8) * byte)
        ids[entry], ts[entry] = np.int64(dataset), np.int64(seconds)
        types[entry] = data[at + length * np.uint64(12) + entry]


@compiled
def _merge_histories(history: _Entries, live_count: int) -> NDArray[np.int32]:
    """Return the entries in the order of `History.merge`: of each dataset the newest, with the strongest type."""
    ids, ts, types = history
    # Each history contains a dataset at most once.
    kept = np.ones(len(ids), np.uint8)
    rest = live_count + 1
    for entry in range(live_count):
        again = False
        for other in range(rest, len(ids) - 1):  # without a break, so that many are compared at once
            again |= ids[other] == ids[entry]
        if again:
            other = rest
            while ids[other] != ids[entry]:
                other += 1
            types[entry] = types[other] = max(types[entry], types[other])
            kept[other if ts[entry] >= ts[other] else entry] = 0
    order = np.empty(len(ids) - 1, np.int32)
    count, here, there = np.uint64(0), np.uint64(0), np.uint64(rest)
    for _ in range(len(ids) - 2):
        takes_live = (ts[here] > ts[there]) | ((ts[here] == ts[there]) & (ids[here] <= ids[there]))
        newer = here if takes_live else there
        order[count] = newer
        count += np.uint64(kept[newer])
        here += np.uint64(takes_live)
        there += np.uint64(not takes_live)
    return order[: min(int(np.int64(count)), MAX_LONG_TERM) if live_count else int(np.int64(count))]
