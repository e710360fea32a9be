"""Diversity: from the best candidates, choose those that are relevant and unlike each other.

Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) over the head of the ranking. The next choice is

    argmax over c of  λ · relevance(c) − (1 − λ) · max over the chosen s of similarity(c, s)

relevance   the score that answers show, 0..1
similarity  cosine of the content vectors, or `same_provider` for two datasets of one provider if that is more; ≥ 0

It decides which datasets are in an answer; within an answer they are ordered by score.
"""

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ranking.features import ItemTable
from ranking.jit import Fields, compiled
from ranking.lanes import round_up_to_lanes

_BUCKETS = 256
_MOST = 2**63 - 1


class DiversitySettings(BaseModel):
    """λ, the similarity of datasets of one provider, and the number of candidates considered; stored in the bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # On the evaluation's split, all against λ = 1 (nDCG@10 / similarity within ten): MovieTweetings −0.2 % / −13 %,
    # demo data −0.6 % / −30 %; at 0.83 it is −0.9 % / −18 % and −1.5 % / −42 %.
    relevance: Annotated[float, Field(gt=0, le=1)] = 0.87
    same_provider: Annotated[float, Field(ge=0, le=1)] = 0.3
    head: Annotated[int, Field(ge=1, le=1000)] = 40

    @property
    def fields(self) -> Fields:
        """The fields of `_Weights`."""
        return self.relevance, self.same_provider, self.head


class _Weights(NamedTuple):
    """`DiversitySettings` in compiled code."""

    relevance: float
    same_provider: float
    head: int


# For a bundle without these settings: it was made before diversity existed.
NO_DIVERSITY = DiversitySettings(relevance=1.0)


def choose(
    raw: NDArray[np.float64], items: NDArray[np.int32], table: ItemTable, settings: DiversitySettings, limit: int
) -> NDArray[np.int64]:
    """Return the rows of at most `limit` candidates in the order of choice: its first k are the choice of k.

    `raw` float64 [m] and `items` int32 [m] are the candidates' raw scores and positions. Candidates after the head
    follow by score; of equally good candidates the first is chosen.
    """
    return choose_rows(raw, items, tuple(table), settings.fields, limit)


@compiled
def choose_rows(
    raw: NDArray[np.float64], items: NDArray[np.int32], table: Fields, diversity: Fields, limit: int
) -> NDArray[np.int64]:
    """Compiled part of `choose`, of an `ItemTable` and `DiversitySettings.fields`."""
    weights = _Weights(*diversity)
    if weights.relevance == 1.0:
        return _best_rows(raw, limit)
    best = _best_rows(raw, max(limit, weights.head))
    return best[_choose_diverse(raw[best], items[best], ItemTable(*table), weights, limit)]


@compiled
def _best_rows(raw: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the rows of the `count` highest scores, descending; equal ones keep their order."""
    best = np.empty(min(count, len(raw)) + 1, np.int64)
    found = 0
    for row in _deal_rows(raw, count):
        if found == len(best) - 1 and (found == 0 or raw[row] <= raw[best[found - 1]]):
            continue
        place = found
        while place > 0 and raw[best[place - 1]] < raw[row]:
            best[place] = best[place - 1]
            place -= 1
        best[place] = row
        found = min(found + 1, len(best) - 1)
    return best[:found]


@compiled
def _deal_rows(raw: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return at least the `count` best rows, nearly in order: sorted into buckets by score, unsorted within a bucket.

    Inserting nearly sorted rows mostly takes no step, so the CPU rarely mispredicts their number.
    """
    bits = raw.view(np.int64)  # LLVM compares eight integers at once, but floats one by one
    ends = np.array([-_MOST, _MOST])
    for row in range(len(bits)):
        key = _order_bits(bits[row])
        ends[0], ends[1] = max(ends[0], key), min(ends[1], key)
    ends[0], ends[1] = _order_bits(ends[0]), _order_bits(ends[1])
    top, least = ends.view(np.float64)
    scale = _BUCKETS / (top - least)
    buckets = np.empty(len(raw), np.int32)
    for row in range(len(raw)):
        distance = (top - raw[row]) * scale
        # If all scores are the same, the distances are NaN: all rows go to the last bucket.
        buckets[row] = np.int32(distance) if distance < _BUCKETS - 1 else np.int32(_BUCKETS - 1)
    starts = np.zeros(_BUCKETS + 1, np.int32)
    for bucket in buckets:
        starts[bucket + 1] += 1
    used = 0
    while used < _BUCKETS and starts[used] < count:
        used += 1
        starts[used] += starts[used - 1]
    dealt = np.empty(starts[used] + 1, np.int64)
    # The place of rows after the last used bucket.
    starts[used:] = len(dealt) - 1
    for row in range(len(raw)):
        bucket = buckets[row]
        dealt[starts[bucket]] = row
        starts[bucket] += np.int32(bucket < used)
    return dealt[:-1]


@compiled
def _order_bits(bits: int) -> int:
    """Convert a float's bits to an integer with the same order, or back."""
    return bits ^ ((bits >> 63) & _MOST)


@compiled
def _choose_diverse(
    raw: NDArray[np.float64], items: NDArray[np.int32], table: ItemTable, weights: _Weights, limit: int
) -> NDArray[np.int64]:
    relevance, same_provider, head = weights
    size = min(head, len(raw))
    # Transposed, so that a CPU compares 8 or 16 candidates at once; each sum still has one fixed order.
    dimensions = table.content.shape[1]
    vectors = np.zeros(((dimensions + 3) // 4 * 4, round_up_to_lanes(size)), np.float32)
    providers = np.empty(size, np.int32)
    gains = np.empty(size, np.float64)
    for row in range(size):
        for dimension in range(dimensions):
            vectors[dimension, row] = table.content[items[row], dimension]
        providers[row] = table.provider[items[row]]
        gains[row] = relevance / (1.0 + np.exp(-raw[row]))
    values = gains.copy()
    nearest = np.zeros(size, np.float32)
    similarity = np.empty(vectors.shape[1], np.float32)
    order = np.arange(min(limit, len(raw)))
    for turn in range(min(len(order), size)):
        best = _first_of_the_greatest(values)
        order[turn] = best
        gains[best] = -np.inf
        similarity[:] = 0.0
        for start in range(0, len(vectors), 4):
            # Four at a time: reading and writing the sums is most of the work.
            a, b, c = vectors[start, best], vectors[start + 1, best], vectors[start + 2, best]
            d = vectors[start + 3, best]
            for row in range(len(similarity)):
                similarity[row] += (vectors[start, row] * a + vectors[start + 1, row] * b) + (
                    vectors[start + 2, row] * c + vectors[start + 3, row] * d
                )
        for row in range(size):
            alike = similarity[row]
            if providers[row] == providers[best]:
                alike = max(alike, np.float32(same_provider))
            nearest[row] = max(nearest[row], alike)
            values[row] = gains[row] - (1.0 - relevance) * nearest[row]
    return order


@compiled
def _first_of_the_greatest(values: NDArray[np.float64]) -> int:
    """Compiled argmax; Numba's own one compares one value at a time."""
    bits = values.view(np.int64)
    greatest = _order_bits(bits[0])
    for row in range(len(bits)):
        greatest = max(greatest, _order_bits(bits[row]))
    first = len(bits)
    for row in range(len(bits)):
        first = min(first, row if _order_bits(bits[row]) == greatest else len(bits))
    return first
