"""The history of each query for the simple models: the same past, and the same hidden datasets, as for the stack."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from contracts.events import InteractionType
from pipeline.evaluate.queries import QuerySet
from ranking.replay import Kind


class Histories(NamedTuple):
    """The datasets that each of q queries knows of, one entry each, [e].

    `query` is the number of the query, ascending; `column` the dataset; `age` how many seconds older
    it is than the newest, and `rank` 0 for the newest. `hidden` is bool-like [q, columns]: what is not ranked.
    """

    query: NDArray[np.int64]
    column: NDArray[np.int32]
    age: NDArray[np.float64]
    rank: NDArray[np.int64]
    hidden: sparse.csr_array

    def weighted(self, weights: NDArray[np.float64]) -> sparse.csr_array:
        """Return float32 [q, columns] with `weights` [e], scaled so that those of each query sum to 1."""
        shape = self.hidden.shape
        totals = np.bincount(self.query, weights, shape[0])
        scaled = weights / np.maximum(totals[self.query], 1e-30)
        return sparse.csr_array((scaled.astype(np.float32), (self.query, self.column)), shape=shape)

    def over(self, columns: NDArray[np.int64]) -> "Histories":
        """Return the histories over some columns; the ranks are those among all."""
        place = np.full(self.hidden.shape[1], -1, np.int32)
        place[columns] = np.arange(len(columns))
        column = place[self.column]
        inside = column >= 0
        hidden = sparse.csr_array(self.hidden[:, columns])
        return Histories(self.query[inside], column[inside], self.age[inside], self.rank[inside], hidden)


def histories_of(queries: QuerySet, seed: int) -> Histories:
    """Return the histories over all positions of the catalogue; the seed orders datasets of one second."""
    known, moments = queries.known, queries.moments
    tie = np.random.default_rng(seed).random(len(known))
    entries: list[tuple[NDArray[np.int32], NDArray[np.float64]]] = []
    hidden: list[NDArray[np.int32]] = []
    for user, at, kind, own_second in zip(*moments[:3], moments.hidden, strict=True):
        rows = known.rows_of(int(user), int(at))
        rows = rows[known.types[rows] != InteractionType.EXPOSURE]
        rows = rows[np.lexsort((tie[rows], known.ts[rows]))][::-1]
        items, newest = np.unique(known.item[rows], return_index=True)
        order = np.argsort(newest)
        items, ages = items[order], (known.ts[rows[:1]] - known.ts[rows[newest[order]]]).astype(np.float64)
        if kind == Kind.SIMILAR:
            items, ages = items[:1], ages[:1]
        entries.append((items, ages))
        hidden.append(np.concatenate([items, own_second]))
    lengths = [len(items) for items, _ in entries]
    query = np.repeat(np.arange(len(entries)), lengths)
    column = np.concatenate([items for items, _ in entries]) if entries else np.empty(0, np.int32)
    age = np.concatenate([ages for _, ages in entries]) if entries else np.empty(0)
    rank = np.arange(len(query)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Histories(query, column, age, rank, _marks(hidden, len(known.catalogue)))


def _marks(lists: list[NDArray[np.int32]], columns: int) -> sparse.csr_array:
    rows = np.repeat(np.arange(len(lists)), [len(items) for items in lists])
    found = np.concatenate(lists) if lists else np.empty(0, np.int32)
    return sparse.csr_array((np.ones(len(found), np.float32), (rows, found)), shape=(len(lists), columns))
