"""Recall: a few hundred candidates from eight channels, each a look-up in tables of the bundle.

behavior     neighbours of the query's dataset, by common users
content      neighbours by text: of the query's dataset, else of the latest in the user's history
vector       neighbours by embedding: the same seeds as content
history      behaviour neighbours of everything in the user's history, weighted by time
recent       the same, weighted by time and by rank: the last few datasets decide
transition   what users took after the datasets of the history, weighted as in recent; without a history, after the
             query's dataset
popular      the currently popular datasets
popular_30d  the popular datasets of a longer time
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros as lowest_bit
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.features import CHANNELS, VOTING_CHANNELS
from ranking.jit import Fields, compiled
from ranking.user import HistoryContext, User

MAX_CHANNEL_SIZE = 10_000


class RecallSettings(BaseModel):
    """The recall settings of the bundle's training, stored in the bundle so that serving uses the same.

    A channel without a size proposes nothing. A weight in `recent` falls to 1/e with every `recent_ranks` datasets that
    are newer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # Compiled code allocates by the sizes and does not check them.
    channel_sizes: dict[str, Annotated[int, Field(ge=0, le=MAX_CHANNEL_SIZE)]] = {
        "behavior": 80,
        "content": 40,
        "vector": 40,
        "history": 60,
        "popular": 100,
        "recent": 80,
        "transition": 80,
        "popular_30d": 100,
    }
    history_length: Annotated[int, Field(ge=0, le=10_000)] = 50
    history_half_life_days: Annotated[float, Field(gt=0)] = 30.0
    recent_ranks: Annotated[float, Field(gt=0)] = 4.0
    seed_items: Annotated[int, Field(ge=0, le=1000)] = 3

    def history_context(self, ids: NDArray[np.int64]) -> HistoryContext:
        """Return what a history is decoded with, for the ids of a catalogue."""
        return HistoryContext(ids, self.history_half_life_days, self.recent_ranks, self.history_length)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of all channels in their order; a bundle of an earlier release doesn't name all."""
        return tuple(self.size_of(channel) for channel in CHANNELS)

    def size_of(self, channel: str) -> int:
        """Return the number of datasets that a channel proposes."""
        return self.channel_sizes.get(channel, 0)


class Neighbours(NamedTuple):
    """A table of each item's nearest others: `items` int32 [n, k] (-1 pads), `scores` float32 [n, k], descending."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


class Popular(NamedTuple):
    """Items by popularity, descending: `items` int32 [p], `scores` float32 [p] in 0..1."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


NO_POPULAR = Popular(np.empty(0, np.int32), np.empty(0, np.float32))


def no_neighbours(items: int) -> Neighbours:
    """Return a table without neighbours."""
    return Neighbours(np.empty((items, 0), np.int32), np.empty((items, 0), np.float32))


@dataclass(frozen=True)
class RecallTables:
    """The look-up tables of all channels; `history` and `recent` share that of `behavior`."""

    behavior: Neighbours
    content: Neighbours
    vector: Neighbours
    transition: Neighbours
    popular: Popular = NO_POPULAR
    popular_30d: Popular = NO_POPULAR

    def fields(self, settings: RecallSettings) -> Fields:
        """Return the tables with the channels' sizes and the number of seed items, for `propose_candidates`."""
        neighbours = (self.behavior, self.content, self.vector, self.transition)
        lists = (self.popular, self.popular_30d)
        return (*map(tuple, neighbours), *map(tuple, lists), settings.sizes, settings.seed_items)


# Every set of channels by its code: the sum of its channels' bits.
_BITS = 1 << np.arange(len(CHANNELS))
_NAMES = [
    tuple(name for name, bit in zip(CHANNELS, _BITS, strict=True) if code & bit) for code in range(2 ** len(CHANNELS))
]


def channels_of(codes: Iterable[int]) -> list[tuple[str, ...]]:
    """Return the names of each set of channels; a code has one bit for each channel in the order of `CHANNELS`."""
    return [_NAMES[code] for code in codes]


# Never a sum of votes, because sums start with +0.0.
_NO_VOTE = -0.0
# By channel: its column of votes; without any, one more that nothing reads.
_VOTE_COLUMNS = tuple(
    VOTING_CHANNELS.index(channel) if channel in VOTING_CHANNELS else len(VOTING_CHANNELS) for channel in CHANNELS
)
_VOTED = len(VOTING_CHANNELS)
# Many enough that few of some thousand votes share a bucket, and few enough to scan.
_BUCKETS = 1024
# Up to this size, insertion sort is faster for a bucket; equal votes may fill a bucket further.
_FEW = 20


class _Seeds(NamedTuple):
    """Items whose neighbours are proposed, int32 [s], and the weight of each one's votes, float32 [s]."""

    items: NDArray[np.int32]
    weights: NDArray[np.float32]


class _Votes(NamedTuple):
    """The sum of each item's votes, float64, `_NO_VOTE` without any; and room for the items with votes, int32 [n + 1].

    No item has a vote before a call of `_vote`.
    """

    totals: NDArray[np.float64]
    met: NDArray[np.int32]


class Candidates(NamedTuple):
    """`items` int32 [m] ascending; `scores` and reciprocal `ranks` float32 [m, len(CHANNELS)], 0 where not proposed.

    `votes` float32 [m, len(VOTING_CHANNELS)] are those for each candidate, whoever proposes it.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    ranks: NDArray[np.float32]
    votes: NDArray[np.float32]

    def only(self, keep: NDArray[np.bool_]) -> "Candidates":
        """Return the candidates that the mask [m] keeps."""
        return Candidates(self.items[keep], self.scores[keep], self.ranks[keep], self.votes[keep])

    def channels(self, row: int) -> tuple[str, ...]:
        """Return the names of the channels that proposed a candidate."""
        return channels_of([int((self.ranks[row] > 0) @ _BITS)])[0]


def recall(tables: RecallTables, settings: RecallSettings, *, anchor: int | None, user: User) -> Candidates:
    """Return the union of the channels' proposals, without the anchor and without datasets that the user has seen."""
    found = propose_candidates(
        -1 if anchor is None else anchor,
        tuple(user),
        tables.fields(settings),
        SCRATCH.over(len(tables.content.items)),
    )
    return Candidates(*found)


class _Scratch(threading.local):
    """Arrays over the catalogue that are reused: resetting only the used entries is cheaper than clearing all.

    They are: the fields of `_Votes` by channel; rows of candidates int32; a set of items, a bit each, uint64. All are
    empty between two recalls.
    """

    def __init__(self) -> None:
        self._items = -1

    def over(self, items: int) -> Fields:
        """Return arrays for at least so many items."""
        if self._items < items:
            self._items = items
            self._arrays = (
                (np.full((_VOTED, items), _NO_VOTE), np.zeros((_VOTED, items + 1), np.int32)),
                np.zeros(items, np.int32),
                np.zeros((items + 63) // 64, np.uint64),
            )
        return self._arrays


SCRATCH = _Scratch()


@compiled
def propose_candidates(
    anchor: int, user: Fields, tables: Fields, scratch: Fields
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Compiled part of `recall`, of a `User`, `RecallTables.fields` and `SCRATCH`; `anchor` -1 is none."""
    _, history, history_weights, seen, recent_weights, _ = User(*user)
    behavior, content, vector, transition, popular, popular_30d, sizes, seed_items = tables
    by_behavior, most_popular, popular_longer = Neighbours(*behavior), Popular(*popular), Popular(*popular_30d)
    (totals, met), places, union = scratch
    if anchor < 0:
        anchors, seeds, weights = history[:0], history[:seed_items], history_weights[:seed_items]
    else:
        anchors, weights = np.full(1, anchor, np.int32), np.ones(1, np.float32)
        seeds = anchors
    recent = _Seeds(history[: len(recent_weights)], recent_weights)
    nothing = (np.uint64(0), True)
    channels = (
        _vote(by_behavior, _Seeds(anchors, weights), sizes[0], _Votes(totals[0], met[0])),
        _vote(Neighbours(*content), _Seeds(seeds, weights), sizes[1], _Votes(totals[1], met[1])),
        _vote(Neighbours(*vector), _Seeds(seeds, weights), sizes[2], _Votes(totals[2], met[2])),
        _vote(by_behavior, _Seeds(history, history_weights), sizes[3], _Votes(totals[3], met[3])),
        (most_popular.items[: sizes[4]].copy(), most_popular.scores[: sizes[4]].copy(), *nothing),
        _vote(by_behavior, recent, sizes[5], _Votes(totals[4], met[4])),
        _vote(
            Neighbours(*transition),
            recent if len(history) else _Seeds(anchors, weights),
            sizes[6],
            _Votes(totals[5], met[5]),
        ),
        (popular_longer.items[: sizes[7]].copy(), popular_longer.scores[: sizes[7]].copy(), *nothing),
    )
    for found, _, _, _ in channels:
        for item in found:
            union[item >> 6] |= np.uint64(1) << np.uint64(item & 63)
    for item in seen:
        union[item >> 6] &= ~(np.uint64(1) << np.uint64(item & 63))
        places[item] = -1
    if anchor >= 0:
        union[anchor >> 6] &= ~(np.uint64(1) << np.uint64(anchor & 63))
        places[anchor] = -1
    items = _pop_items(union)
    for row in range(len(items)):
        places[items[row]] = row

    counts = np.zeros(_VOTED + 1, np.uint64)
    scores = np.zeros((len(items), len(sizes)), np.float32)
    ranks = np.zeros((len(items), len(sizes)), np.float32)
    channel = 0
    are_numbers = True
    for found, values, voted, is_number in channels:
        are_numbers &= is_number
        counts[_VOTE_COLUMNS[channel]] = voted
        _set_proposals((scores[:, channel], ranks[:, channel]), found, values, places)
        channel += 1  # noqa: SIM113 - Numba unrolls no enumerate over a tuple
    ballots = _take_votes(items, counts, totals, met)
    if not are_numbers:
        raise ValueError("a neighbour's score is not a number")
    return items, scores, ranks, ballots


@compiled
def _set_proposals(
    columns: Fields, found: NDArray[np.int32], values: NDArray[np.float32], places: NDArray[np.int32]
) -> None:
    """Set the scores and ranks of what a channel has found; `places` are the rows of candidates, -1 of other items."""
    scores, ranks = columns
    for rank in range(len(found)):
        row = places[found[rank]]
        if row >= 0:
            scores[row] = values[rank]
            ranks[row] = np.float32(1.0) / np.float32(rank + 1)


@compiled
def _take_votes(
    items: NDArray[np.int32], counts: NDArray[np.uint64], totals: NDArray[np.float64], met: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Return `Candidates.votes`, and clear all votes; the first `counts` of `met` have some."""
    votes = np.empty((len(items), _VOTED), np.float32)
    for column in range(_VOTED):
        for row in range(len(items)):
            votes[row, column] = np.float32(totals[column, items[row]]) + np.float32(0.0)
        for number in range(counts[column]):
            totals[column, met[column, number]] = _NO_VOTE
    return votes


@compiled
def _pop_items(words: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Return the items of a set, ascending, and clear the set."""
    items = np.empty(64 * len(words), np.int32)
    count = 0
    for place in range(len(words)):
        while words[place] != 0:
            word = words[place]
            words[place] = word & (word - np.uint64(1))
            count += 1
            items[count - 1] = 64 * place + lowest_bit(word)  # type: ignore[call-arg]  # Numba passes its own
    return items[:count].copy()


@compiled
def _vote(
    table: Neighbours, seeds: _Seeds, size: int, votes: _Votes
) -> tuple[NDArray[np.int32], NDArray[np.float32], np.uint64, bool]:
    """Add up the seeds' neighbours by weight and return the best `size`, descending; ties go to the lower position.

    Also return the number of items that have votes now, and whether all of them are numbers.
    """
    totals, met = votes
    if size <= 0:
        return met[:0].copy(), np.empty(0, np.float32), np.uint64(0), True
    unmet = np.float64(_NO_VOTE).view(np.int64)
    marks = totals.view(np.int64)
    count = np.uint64(0)
    for number in range(len(seeds.items)):
        seed, weight = seeds.items[number], seeds.weights[number]
        near, nearness = table.items[seed], table.scores[seed]
        for column in range(len(near)):
            item = near[column]
            if item < 0:
                continue
            # Without a branch: a CPU can't predict whether an item has been met before.
            met[count] = item
            count += np.uint64(marks[item] == unmet)
            # A sum that starts with +0.0 is never -0.0, the mark of an item without votes.
            totals[item] += nearness[column] * weight + np.float32(0.0)
    summed = np.empty(count, np.float32)
    for number in range(count):
        item = met[number]
        summed[number] = totals[item]
    # A float's bits, read as an integer, have the float's order (for negative ones the other bits are inverted).
    bits = summed.view(np.int32)
    keys = np.empty(count, np.int64)
    highest = lowest = 0
    for number in range(count):
        turned = _order_bits(bits[number])
        highest, lowest = max(highest, turned), min(lowest, turned)
        keys[number] = -np.int64(turned) << 32 | met[number]
    # NaN sorts before or after all numbers; infinities of both signs sum up to NaN as well.
    is_number = not np.isnan(_float(highest) + _float(lowest))
    best = _least(keys, size)
    positions = np.empty(len(best), np.int32)
    values = np.empty(len(best), np.float32)
    bits = values.view(np.int32)
    for number in range(len(best)):
        positions[number] = best[number] & 0xFFFFFFFF
        bits[number] = _order_bits(-(best[number] >> 32))
    return positions, values, count, is_number


@compiled
def _least(keys: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return the smallest `size` keys, ascending: sorted into buckets, of which only the first are sorted further.

    A comparison sort mispredicts every other branch, and a wrong prediction costs as much as twenty right ones.
    """
    size = min(size, len(keys))
    if size <= 0:
        return keys[:0]
    if _ascending(keys):  # the neighbours of one item, already in the table's order
        return keys[:size]
    least = most = keys[0]
    for key in keys:
        least, most = min(least, key), max(most, key)
    shift = np.uint64(0)
    while np.uint64(most - least) >> shift >= np.uint64(_BUCKETS):
        shift += np.uint64(1)
    ends = np.zeros(_BUCKETS + 1, np.int32)
    for key in keys:
        ends[(np.uint64(key - least) >> shift) + np.uint64(1)] += 1
    # The first buckets that hold `size` keys; their entries in `ends` then become their starts.
    used, largest = np.uint64(0), 0
    while ends[used] < size:
        used += np.uint64(1)
        largest = max(largest, ends[used])
        ends[used] += ends[used - np.uint64(1)]
    few = np.empty(ends[used] + 1, np.int64)
    count = np.uint64(0)
    for key in keys:
        few[count] = key
        count += np.uint64(np.uint64(key - least) >> shift < used)
    dealt = np.empty(count, np.int64)
    for number in range(count):
        bucket = np.uint64(few[number] - least) >> shift
        dealt[ends[bucket]] = few[number]
        ends[bucket] += 1
    if largest > _FEW:
        dealt.sort()
    else:
        _insert_sorted(dealt)
    return dealt[:size]


@compiled
def _ascending(keys: NDArray[np.int64]) -> bool:
    for number in range(1, len(keys)):  # noqa: SIM110 - Numba compiles no all() of these
        if keys[number - 1] >= keys[number]:
            return False
    return True


@compiled
def _insert_sorted(keys: NDArray[np.int64]) -> None:
    """Insertion sort for keys that are nearly sorted."""
    for number in range(1, len(keys)):
        key = keys[number]
        place = number
        while place > 0 and keys[place - 1] > key:
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = key


@compiled
def _order_bits(bits: int) -> int:
    return bits if bits >= 0 else bits ^ 0x7FFFFFFF


@compiled
def _float(turned: int) -> np.float32:
    """Return the float of these bits, which `_order_bits` has converted."""
    return np.int32(_order_bits(turned)).view(np.float32)
