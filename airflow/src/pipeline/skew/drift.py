"""How far served features and scores have moved from those of the queries that a version was made with."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from contracts.bundle import ValueBins
from contracts.served_features import ServedVectors
from pipeline.bundle.quantiles import SCORES, count_bins

# Fewer answers say nothing about a day.
MIN_ANSWERS = 100


class ServedDrift:
    """Counts the served values of one version in the bins of its bundle."""

    def __init__(self, expected: Mapping[str, ValueBins], names: list[str]) -> None:
        self.answers = 0
        self._expected = expected
        self._names = names
        self._edges = {name: np.array(bins.edges, np.float64) for name, bins in expected.items()}
        self._counts = {name: np.zeros(len(bins.shares), np.int64) for name, bins in expected.items()}

    def add(self, vectors: ServedVectors) -> None:
        """Count an answer."""
        self.answers += 1
        for column, name in enumerate(self._names):
            if name in self._edges and column < vectors.matrix.shape[1]:
                self._counts[name] += count_bins(vectors.matrix[:, column], self._edges[name])
        if SCORES in self._edges:
            self._counts[SCORES] += count_bins(vectors.scores, self._edges[SCORES])

    def stability_indexes(self) -> dict[str, float]:
        """Return the population stability index of each column and of the scores; none of too few answers."""
        if self.answers < MIN_ANSWERS:
            return {}
        return {
            name: round(_stability_index(np.array(bins.shares), self._counts[name]), 4)
            for name, bins in self._expected.items()
            if self._counts[name].any()
        }


def _stability_index(expected: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Return the PSI; half an observation replaces an empty bin (Siddiqi, "Credit Risk Scorecards", 2006)."""
    total = counts.sum()
    least = 0.5 / total
    old, new = np.maximum(expected, least), np.maximum(counts / total, least)
    return float(((new - old) * np.log(new / old)).sum())
