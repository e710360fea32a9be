"""Rows of interactions by user, and the first row of each pair of a user and a dataset, without sorting all."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.jit import Fields, compiled


class Groups(NamedTuple):
    """Rows by group, in their order: group g has `rows[starts[g] : starts[g + 1]]`; int64 [m] and [groups + 1]."""

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]

    def of(self, group: int) -> NDArray[np.int64]:
        """Return the rows of one group."""
        return self.rows[self.starts[group] : self.starts[group + 1]]


def group_rows(group: NDArray[np.integer], groups: int) -> Groups:
    """Return the rows of each group; `group` [m] are numbers below `groups`."""
    starts = np.append(0, np.cumsum(np.bincount(group, minlength=groups)))
    return Groups(_deal_rows(group, starts[:-1].copy()), starts)


def first_of_pairs(by_user: Groups, item: NDArray[np.integer], items: int) -> NDArray[np.int64]:
    """Return the ascending rows in which a user's dataset comes for the first time; `item` [m] is below `items`."""
    return np.flatnonzero(_mark_first(tuple(by_user), item, np.full(items, -1, np.int64)))


def all_of_pairs(
    by_user: Groups, user: NDArray[np.integer], item: NDArray[np.integer], rows: NDArray[np.int64], items: int
) -> NDArray[np.bool_]:
    """Return a mask [m] of all rows with the user and the dataset of one of `rows`."""
    wanted = rows[np.argsort(user[rows], kind="stable")]
    return _mark_all(tuple(by_user), user, item, wanted, np.full(items, -1, np.int64))


@compiled
def _deal_rows(group: NDArray[np.integer], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counting sort; `ends` are the places of the next row of each group."""
    rows = np.empty(len(group), np.int64)
    for row in range(len(group)):
        rows[ends[group[row]]] = row
        ends[group[row]] += 1
    return rows


@compiled
def _mark_first(by_user: Fields, item: NDArray[np.integer], met_by: NDArray[np.int64]) -> NDArray[np.bool_]:
    rows, starts = by_user
    is_first = np.zeros(len(rows), np.bool_)
    for user in range(len(starts) - 1):
        for place in range(starts[user], starts[user + 1]):
            row = rows[place]
            is_first[row] = met_by[item[row]] != user
            met_by[item[row]] = user
    return is_first


@compiled
def _mark_all(
    by_user: Fields,
    user: NDArray[np.integer],
    item: NDArray[np.integer],
    wanted: NDArray[np.int64],
    wanted_by: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """`wanted` are rows by user."""
    rows, starts = by_user
    mask = np.zeros(len(rows), np.bool_)
    for number in range(len(wanted)):
        owner = user[wanted[number]]
        wanted_by[item[wanted[number]]] = owner
        if number + 1 < len(wanted) and user[wanted[number + 1]] == owner:
            continue
        for place in range(starts[owner], starts[owner + 1]):
            row = rows[place]
            mask[row] = wanted_by[item[row]] == owner
    return mask
