"""Intervals by bootstrap over users: several queries of one user are not independent."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 1000
_LEVEL = 0.95


class Interval(NamedTuple):
    """A mean, and the interval that contains it in 95 % of the resamples."""

    mean: float
    low: float
    high: float


def intervals(values: NDArray[np.float64], user: NDArray[np.int32], seed: int) -> list[Interval]:
    """Return the interval of the mean of each column of `values` [q, k]; `user` [q] says whose query each is.

    All columns are resampled alike, so the interval of a paired comparison is that of a column of differences. Without
    a query, everything is 0.
    """
    if not len(user):
        return [Interval(0.0, 0.0, 0.0)] * values.shape[1]
    _, place = np.unique(user, return_inverse=True)
    users = int(place.max()) + 1
    sums = np.column_stack([np.bincount(place, column, users) for column in (*values.T, np.ones(len(user)))])
    rng = np.random.default_rng(seed)
    drawn = np.empty((_RESAMPLES, sums.shape[1]))
    for number in range(_RESAMPLES):
        drawn[number] = np.bincount(rng.integers(0, users, users), minlength=users) @ sums
    means = drawn[:, :-1] / drawn[:, -1:]
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return [
        Interval(float(mean), float(below), float(above))
        for mean, below, above in zip(values.mean(axis=0), low, high, strict=True)
    ]
