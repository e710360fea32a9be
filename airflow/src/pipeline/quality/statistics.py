"""Significance and size of differences between two runs, from their profiles alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, kolmogorov, ndtr

# A share of zero has no logarithm.
_SMALLEST_SHARE = 1e-4
_DECILES = 10


class Difference(NamedTuple):
    """How large a difference is, and the probability of one as large by chance."""

    effect: float
    p_value: float


def compare_counts(before: ArrayLike, now: ArrayLike) -> Difference:
    """Compare two tables of counts with the same cells: population stability index, and Pearson's chi-squared test."""
    old, new = np.asarray(before, np.float64), np.asarray(now, np.float64)
    if not old.sum() or not new.sum():
        return Difference(0.0, 1.0)
    both = old + new
    used = both > 0
    statistic = 0.0
    for counts in (old, new):
        expected = both[used] * counts.sum() / both.sum()
        statistic += float(((counts[used] - expected) ** 2 / expected).sum())
    freedom = int(used.sum()) - 1
    p_value = float(chdtrc(freedom, statistic)) if freedom else 1.0
    return Difference(_psi(old / old.sum(), new / new.sum()), p_value)


def compare_percentiles(before: Sequence[float], now: Sequence[float], rows: tuple[int, int]) -> Difference:
    """Compare two columns by their percentiles: PSI over the earlier deciles, and the Kolmogorov-Smirnov test."""
    old, new = np.asarray(before), np.asarray(now)
    deciles = old[:: len(old) // _DECILES]
    # Values beyond the earlier ones have places of their own, also if all earlier ones were equal.
    edges = np.unique(np.append(deciles, np.nextafter(deciles[-1], np.inf)))
    shares = [_shares(values, edges) for values in (old, new)]
    every = np.union1d(old, new)
    distance = float(np.abs(_cumulated(old, every) - _cumulated(new, every)).max())
    # The percentiles themselves are only known to a hundredth.
    distance = max(0.0, distance - 1 / len(old))
    scale = np.sqrt(rows[0] * rows[1] / max(1, rows[0] + rows[1]))
    return Difference(_psi(*shares), float(kolmogorov(distance * scale)))


def compare_shares(before: float, now: float, rows: tuple[int, int]) -> Difference:
    """Compare two shares: their difference, and the one-sided z-test that the later one is not larger."""
    pooled = (before * rows[0] + now * rows[1]) / max(1, sum(rows))
    error = np.sqrt(pooled * (1 - pooled) * (1 / max(1, rows[0]) + 1 / max(1, rows[1])))
    z = (now - before) / error if error > 0 else 0.0
    return Difference(now - before, float(ndtr(-z)))


def _psi(old: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    old, new = np.maximum(old, _SMALLEST_SHARE), np.maximum(new, _SMALLEST_SHARE)
    return float(((new - old) * np.log(new / old)).sum())


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return counts / len(values)


def _cumulated(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.searchsorted(np.sort(values), at, side="right") / len(values)
