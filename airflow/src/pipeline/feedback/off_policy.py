"""What an order would have brought, estimated from answers that were drawn at random: SNIPS with clipped weights.

Sources: Swaminathan, Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NeurIPS 2015; for places,
the item-position model of Li et al., "Offline Evaluation of Ranking Policies with Click Models", KDD 2018.

The order is that of the k datasets that an answer has shown. Given these, each stands at each place with the
probability 1/k. So an outcome counts k times where the order has the same dataset at the same place, and not elsewhere.
It assumes: an outcome depends on its dataset and place, not on the other datasets; all outcomes are logged; users are
independent.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Longer answers have heavier weights, which a few outcomes would decide.
MAX_WEIGHT = 20.0
_Z = 1.959964


class Estimate(NamedTuple):
    """Outcomes per answer, and its 95 % interval."""

    value: float
    low: float
    high: float


class DrawnOutcomes(NamedTuple):
    """Drawn answers: users [q], and for each whether the dataset at a place had an outcome, [k] each."""

    users: NDArray[np.int64]
    had_outcome: Sequence[NDArray[np.bool_]]


class _Terms(NamedTuple):
    """The value of an order, and by how much each user moves it."""

    value: float
    influence: NDArray[np.float64]

    @property
    def estimate(self) -> Estimate:
        half = _Z * float(np.sqrt((self.influence**2).sum()))
        return Estimate(self.value, self.value - half, self.value + half)


def snips(drawn: DrawnOutcomes, orders: Sequence[NDArray[np.int64]], max_weight: float = MAX_WEIGHT) -> Estimate:
    """Return the outcomes per answer if each answer were in its order: rows of what was shown, first to last, [k] each.

    The interval is that of a ratio by linearization, clustered by user.
    """
    return _terms(drawn, orders, max_weight).estimate


def snips_difference(
    drawn: DrawnOutcomes,
    orders: Sequence[NDArray[np.int64]],
    others: Sequence[NDArray[np.int64]],
    max_weight: float = MAX_WEIGHT,
) -> Estimate:
    """Return by how much `orders` bring more than `others`, paired."""
    first, second = _terms(drawn, orders, max_weight), _terms(drawn, others, max_weight)
    return _Terms(first.value - second.value, first.influence - second.influence).estimate


def _terms(drawn: DrawnOutcomes, orders: Sequence[NDArray[np.int64]], max_weight: float) -> _Terms:
    gains, weights = np.zeros((2, len(orders)))
    for number, (order, outcome) in enumerate(zip(orders, drawn.had_outcome, strict=True)):
        places = len(outcome)
        weight = min(float(places), max_weight) * (order == np.arange(places))
        gains[number], weights[number] = weight @ outcome, weight.sum() / places
    _, place = np.unique(drawn.users, return_inverse=True)
    gains, weights = (np.bincount(place, column).astype(np.float64) for column in (gains, weights))
    if not weights.sum():
        return _Terms(0.0, np.zeros(len(weights)))
    value = gains.sum() / weights.sum()
    return _Terms(value, (gains - value * weights) / weights.sum())
