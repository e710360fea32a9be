"""Diversity: of the best candidates, those that are relevant and unlike each other.

Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) over the head of the ranking. The next one chosen is

    argmax over c of  λ · relevance(c) − (1 − λ) · max over the chosen s of similarity(c, s)

relevance   the score that answers show, 0..1
similarity  cosine of the content vectors, or `same_provider` for two datasets of one provider if that is more; ≥ 0

It decides who is in an answer; within an answer the order is that of the scores.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ranking.features import ItemTable
from ranking.jit import compiled


class DiversitySettings(BaseModel):
    """λ, what one provider counts, and how far down the ranking it looks; travels in the bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # On the evaluation's split, all against λ = 1 (nDCG@10 / similarity within ten): MovieTweetings −0.2 % / −13 %,
    # demo data −0.6 % / −30 %; at 0.83 it is −0.9 % / −18 % and −1.5 % / −42 %.
    relevance: Annotated[float, Field(gt=0, le=1)] = 0.87
    same_provider: Annotated[float, Field(ge=0, le=1)] = 0.3
    head: Annotated[int, Field(ge=1, le=1000)] = 40


# For a bundle that says nothing of diversity: it was made before there was any.
NO_DIVERSITY = DiversitySettings(relevance=1.0)


def choose(
    raw: NDArray[np.float64], items: NDArray[np.int32], table: ItemTable, settings: DiversitySettings, limit: int
) -> NDArray[np.int64]:
    """Return the rows of at most `limit` candidates in the order of choice: its first k are the choice of k.

    `raw` float64 [m] and `items` int32 [m] are the candidates' raw scores and positions. What lies past the head
    follows by score; of candidates that are worth the same the first is chosen.
    """
    weights = (settings.relevance, settings.same_provider)
    return chosen(raw, items, table.content, table.provider, *weights, settings.head, limit)


@compiled
def chosen(
    raw: NDArray[np.float64],
    items: NDArray[np.int32],
    content: NDArray[np.float32],
    provider: NDArray[np.int32],
    relevance: float,
    same_provider: float,
    head: int,
    limit: int,
) -> NDArray[np.int64]:
    """Return what `choose` does."""
    if relevance == 1.0:
        return _best(raw, limit)
    best = _best(raw, max(limit, head))
    return best[_choose(raw[best], items[best], content, provider, relevance, same_provider, head, limit)]


@compiled
def _best(raw: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the rows of the `count` highest scores, descending; equal ones keep their order."""
    best = np.empty(min(count, len(raw)) + 1, np.int64)
    found = 0
    for row in range(len(raw)):
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
def _choose(
    raw: NDArray[np.float64],
    items: NDArray[np.int32],
    content: NDArray[np.float32],
    provider: NDArray[np.int32],
    relevance: float,
    same_provider: float,
    head: int,
    limit: int,
) -> NDArray[np.int64]:
    size = min(head, len(raw))
    # Turned, so that a CPU compares 8 or 16 candidates at once, each still summed up in one order.
    dimensions = content.shape[1]
    vectors = np.zeros(((dimensions + 3) // 4 * 4, size), np.float32)
    providers = np.empty(size, np.int32)
    gains = np.empty(size, np.float64)
    for row in range(size):
        for dimension in range(dimensions):
            vectors[dimension, row] = content[items[row], dimension]
        providers[row] = provider[items[row]]
        gains[row] = relevance / (1.0 + np.exp(-raw[row]))
    values = gains.copy()
    nearest = np.zeros(size, np.float32)
    similarity = np.empty(size, np.float32)
    order = np.arange(min(limit, len(raw)))
    for turn in range(min(len(order), size)):
        best = np.argmax(values)
        order[turn] = best
        gains[best] = -np.inf
        similarity[:] = 0.0
        for start in range(0, len(vectors), 4):
            # Four at a time: reading and writing the sums is most of the work.
            a, b, c = vectors[start, best], vectors[start + 1, best], vectors[start + 2, best]
            d = vectors[start + 3, best]
            for row in range(size):
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
