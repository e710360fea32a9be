"""Recall: a few hundred candidates from five channels, each a look-up in tables that the bundle carries.

behavior  neighbours of the dataset asked about, by who interacted with both
content   neighbours by text: of the dataset asked about, else of the latest in the user's history
vector    neighbours by embedding: the same seeds as content
history   behaviour neighbours of everything in the user's recent history
popular   what is popular now
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contracts.features import CHANNELS
from ranking.jit import compiled
from ranking.user import User


class RecallSettings(BaseModel):
    """How the bundle was trained to recall; travels in it, so that serving does the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel_sizes: dict[str, int] = {"behavior": 80, "content": 40, "vector": 40, "history": 120, "popular": 60}
    history_length: int = 50
    history_half_life_days: float = 30.0
    seed_items: int = 3


class Neighbours(NamedTuple):
    """A table of each item's nearest others: `items` int32 [n, k] (-1 pads), `scores` float32 [n, k], descending."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


class Popular(NamedTuple):
    """Items by popularity, descending: `items` int32 [p], `scores` float32 [p] in 0..1."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class RecallTables:
    """The look-up tables of all channels."""

    behavior: Neighbours
    content: Neighbours
    vector: Neighbours
    popular: Popular


# Every set of channels by its code: the sum of its channels' bits.
_BITS = 1 << np.arange(len(CHANNELS))
_NAMES = [[name for name, bit in zip(CHANNELS, _BITS, strict=True) if code & bit] for code in range(2 ** len(CHANNELS))]


@dataclass(frozen=True)
class Candidates:
    """`items` int32 [m] ascending; `scores` and reciprocal `ranks` float32 [m, len(CHANNELS)], 0 where not proposed."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    ranks: NDArray[np.float32]

    def only(self, keep: NDArray[np.bool_]) -> "Candidates":
        """Return the candidates that the mask [m] keeps."""
        return Candidates(self.items[keep], self.scores[keep], self.ranks[keep])

    def channels(self, row: int) -> list[str]:
        """Return the names of the channels that proposed a candidate."""
        return self.channels_of([row])[0]

    def channels_of(self, rows: Sequence[int] | NDArray[np.int64]) -> list[list[str]]:
        """Return, for each of some candidates, the names of the channels that proposed it."""
        return [_NAMES[code] for code in ((self.ranks[rows] > 0) @ _BITS).tolist()]


def recall(tables: RecallTables, settings: RecallSettings, *, anchor: int | None, user: User) -> Candidates:
    """Return the union of what the channels propose, without the anchor and without what the user has seen."""
    seeds, weights = user.items[: settings.seed_items], user.weights[: settings.seed_items]
    if anchor is not None:
        seeds, weights = np.array([anchor], np.int32), np.ones(1, np.float32)
    sizes = tuple(settings.channel_sizes[channel] for channel in CHANNELS)
    left_out = user.seen if anchor is None else np.append(user.seen, np.int32(anchor))
    return Candidates(
        *_recall(
            *tables.behavior,
            *tables.content,
            *tables.vector,
            *tables.popular,
            sizes,
            seeds[:0] if anchor is None else seeds,
            seeds,
            weights,
            user.items,
            user.weights,
            left_out,
        )
    )


@compiled
def _recall(
    behavior_items: NDArray[np.int32],
    behavior_scores: NDArray[np.float32],
    content_items: NDArray[np.int32],
    content_scores: NDArray[np.float32],
    vector_items: NDArray[np.int32],
    vector_scores: NDArray[np.float32],
    popular_items: NDArray[np.int32],
    popular_scores: NDArray[np.float32],
    sizes: tuple[int, ...],
    anchors: NDArray[np.int32],
    seeds: NDArray[np.int32],
    seed_weights: NDArray[np.float32],
    history: NDArray[np.int32],
    history_weights: NDArray[np.float32],
    left_out: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    proposals = (
        _vote(behavior_items, behavior_scores, anchors, seed_weights, sizes[0]),
        _vote(content_items, content_scores, seeds, seed_weights, sizes[1]),
        _vote(vector_items, vector_scores, seeds, seed_weights, sizes[2]),
        _vote(behavior_items, behavior_scores, history, history_weights, sizes[3]),
        (popular_items[: sizes[4]].copy(), popular_scores[: sizes[4]].copy()),
    )
    most = 0
    for found, _ in proposals:
        most += len(found)
    # Each item's row, in the order in which they are met; what is left out has none.
    slots = _slots(most + len(left_out))
    rows = np.empty(len(slots), np.int32)
    for item in left_out:
        slot = _slot(slots, item)
        slots[slot], rows[slot] = item, -1
    met = np.empty(most, np.int64)
    count = 0
    for found, _ in proposals:
        for item in found:
            slot = _slot(slots, item)
            if slots[slot] < 0:
                slots[slot], rows[slot] = item, count
                met[count] = np.int64(item) << 32 | count
                count += 1

    ascending = np.sort(met[:count])
    items = np.empty(count, np.int32)
    place = np.empty(count, np.int32)
    for row in range(count):
        items[row] = ascending[row] >> 32
        place[ascending[row] & 0xFFFFFFFF] = row
    scores = np.zeros((count, len(sizes)), np.float32)
    ranks = np.zeros((count, len(sizes)), np.float32)
    channel = 0
    for found, values in proposals:
        for rank in range(len(found)):
            row = rows[_slot(slots, found[rank])]
            if row >= 0:
                scores[place[row], channel] = values[rank]
                ranks[place[row], channel] = np.float32(1.0) / np.float32(rank + 1)
        channel += 1  # noqa: SIM113 - Numba unrolls no enumerate over a tuple
    return items, scores, ranks


@compiled
def _vote(
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    seeds: NDArray[np.int32],
    weights: NDArray[np.float32],
    size: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Add up the seeds' neighbours by weight and return the best `size`, descending; ties go to the lower position."""
    most = len(seeds) * items.shape[1]
    slots = _slots(most)
    totals = np.empty(len(slots), np.float64)
    used = np.empty(most, np.int32)
    count = 0
    for number in range(len(seeds)):
        for column in range(items.shape[1]):
            item = items[seeds[number], column]
            if item < 0:
                continue
            slot = _slot(slots, item)
            if slots[slot] < 0:
                slots[slot], totals[slot] = item, 0.0
                used[count] = slot
                count += 1
            totals[slot] += scores[seeds[number], column] * weights[number]

    voted = np.empty(count, np.float32)
    for number in range(count):
        voted[number] = totals[used[number]]
    # A float's bits, read as an integer, have the float's order (below zero once the other bits are turned).
    bits = voted.view(np.int32)
    keys = np.empty(count, np.int64)
    for number in range(count):
        order = bits[number] if bits[number] >= 0 else bits[number] ^ 0x7FFFFFFF
        keys[number] = -np.int64(order) << 32 | slots[used[number]]
    best = np.sort(np.partition(keys, size - 1)[:size] if 0 < size < count else keys[:size])
    positions = np.empty(len(best), np.int32)
    values = np.empty(len(best), np.float32)
    for number in range(len(best)):
        positions[number] = best[number] & 0xFFFFFFFF
        values[number] = totals[_slot(slots, positions[number])]
    return positions, values


@compiled
def _slots(count: int) -> NDArray[np.int32]:
    """Return an empty hash table for `count` positions, at most half full."""
    capacity = 16
    while capacity < 2 * count:
        capacity *= 2
    return np.full(capacity, -1, np.int32)


@compiled
def _slot(slots: NDArray[np.int32], item: int) -> int:
    """Return where a position is in the table, or where it belongs."""
    slot = item * 2654435761 & len(slots) - 1
    while slots[slot] >= 0 and slots[slot] != item:
        slot = slot + 1 & len(slots) - 1
    return slot
