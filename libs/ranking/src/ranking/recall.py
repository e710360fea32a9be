"""Recall: a few hundred candidates from five channels, each a look-up in tables that the bundle carries.

behavior  neighbours of the dataset asked about, by who interacted with both
content   neighbours by text: of the dataset asked about, else of the latest in the user's history
vector    neighbours by embedding: the same seeds as content
history   behaviour neighbours of everything in the user's recent history
popular   what is popular now
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contracts.features import CHANNELS
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
        return [name for name, rank in zip(CHANNELS, self.ranks[row], strict=True) if rank > 0]


def recall(tables: RecallTables, settings: RecallSettings, *, anchor: int | None, user: User) -> Candidates:
    """Return the union of what the channels propose; neither the anchor nor the user's history is left out here."""
    sizes = settings.channel_sizes
    if anchor is not None:
        seeds, weights = np.array([anchor], np.int32), np.ones(1, np.float32)
        behavior = _vote(tables.behavior, seeds, weights, sizes["behavior"])
    else:
        seeds, weights = user.items[: settings.seed_items], user.weights[: settings.seed_items]
        behavior = _NOTHING
    proposals = (
        behavior,
        _vote(tables.content, seeds, weights, sizes["content"]),
        _vote(tables.vector, seeds, weights, sizes["vector"]),
        _vote(tables.behavior, user.items, user.weights, sizes["history"]),
        (tables.popular.items[: sizes["popular"]], tables.popular.scores[: sizes["popular"]]),
    )
    return _union(proposals)


_Proposal = tuple[NDArray[np.int32], NDArray[np.float32]]
_NOTHING: _Proposal = (np.empty(0, np.int32), np.empty(0, np.float32))


def _vote(table: Neighbours, seeds: NDArray[np.int32], weights: NDArray[np.float32], size: int) -> _Proposal:
    """Add up the seeds' neighbours by weight and return the best `size`, descending; ties go to the lower position."""
    if not len(seeds):
        return _NOTHING
    items = table.items[seeds].ravel()
    votes = (table.scores[seeds] * weights[:, None]).ravel()
    known = items >= 0
    unique, inverse = np.unique(items[known], return_inverse=True)
    totals = np.bincount(inverse, votes[known], len(unique)).astype(np.float32)
    order = np.argsort(-totals, kind="stable")[:size]
    return unique[order], totals[order]


def _union(proposals: tuple[_Proposal, ...]) -> Candidates:
    items, inverse = np.unique(np.concatenate([found for found, _ in proposals]), return_inverse=True)
    scores = np.zeros((len(items), len(CHANNELS)), np.float32)
    ranks = np.zeros((len(items), len(CHANNELS)), np.float32)
    start = 0
    for channel, (found, values) in enumerate(proposals):
        rows = inverse[start : start + len(found)]
        scores[rows, channel] = values
        ranks[rows, channel] = 1.0 / np.arange(1, len(found) + 1, dtype=np.float32)
        start += len(found)
    return Candidates(items, scores, ranks)
