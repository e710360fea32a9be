"""Compares a shadow's answers with the primary's."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from recommender_api.answers.stored import StoredAnswer

AT = 10
# The number of latest comparisons that a report covers.
WINDOW = 500
_BINS = 10


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The head of an answer: at most `AT` datasets with their scores, and how long the answer took (s)."""

    ids: Sequence[int]
    scores: Sequence[float]
    seconds: float

    @classmethod
    def of(cls, answer: StoredAnswer, seconds: float) -> "AnswerHead":
        """Return the head of an answer."""
        items = orjson.loads(answer.items)[:AT]
        return cls([item["dataset_id"] for item in items], [item["score"] for item in items], seconds)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one query."""

    primary: AnswerHead
    shadow: AnswerHead

    @property
    def overlap(self) -> float:
        """The share of the longer head that is in both, 0 to 1."""
        longer = max(len(self.primary.ids), len(self.shadow.ids))
        return len({*self.primary.ids} & {*self.shadow.ids}) / longer if longer else 1.0

    @property
    def differences(self) -> list[float]:
        """The difference of the two scores of each dataset that is in both."""
        theirs = dict(zip(self.shadow.ids, self.shadow.scores, strict=True))
        mine = zip(self.primary.ids, self.primary.scores, strict=True)
        return [abs(score - theirs[dataset_id]) for dataset_id, score in mine if dataset_id in theirs]


@dataclass(frozen=True)
class Summary:
    """The statistics of the latest comparisons; None if there is no data yet. Latencies in seconds, (median, p99)."""

    pairs: int
    overlap: float | None
    score_difference: float | None
    score_psi: float | None
    primary_seconds: tuple[float, float] | None
    shadow_seconds: tuple[float, float] | None


class Comparison:
    """The latest pairs of answers of one primary and one shadow version, and the outcome of every mirrored query."""

    def __init__(self, primary: str, shadow: str) -> None:
        self.primary = primary
        self.shadow = shadow
        self.outcomes = {"compared": 0, "dropped": 0, "failed": 0}
        self._pairs: deque[Pair] = deque(maxlen=WINDOW)

    def add(self, pair: Pair) -> None:
        """Add the two answers to one query."""
        self._pairs.append(pair)

    def summary(self) -> Summary:
        """Return the statistics of the latest pairs."""
        pairs = list(self._pairs)
        if not pairs:
            return Summary(0, None, None, None, None, None)
        differences = [difference for pair in pairs for difference in pair.differences]
        return Summary(
            len(pairs),
            float(np.mean([pair.overlap for pair in pairs])),
            float(np.mean(differences)) if differences else None,
            stability_index(
                np.array([score for pair in pairs for score in pair.primary.scores]),
                np.array([score for pair in pairs for score in pair.shadow.scores]),
            ),
            _latency([pair.primary.seconds for pair in pairs]),
            _latency([pair.shadow.seconds for pair in pairs]),
        )


def stability_index(expected: NDArray[np.float64], actual: NDArray[np.float64]) -> float | None:
    """Return the population stability index of two samples over the deciles of the first, None if one is empty.

    By convention a value below 0.1 is no relevant shift, and one above 0.25 is a large shift. Half an observation
    replaces an empty bin (Siddiqi, "Credit Risk Scorecards", 2006).
    """
    if not len(expected) or not len(actual):
        return None
    edges = np.unique(np.quantile(expected, np.arange(1, _BINS) / _BINS))
    shares = []
    for sample in (expected, actual):
        counts = np.bincount(np.searchsorted(edges, sample, side="left"), minlength=len(edges) + 1)
        shares.append(np.maximum(counts, 0.5) / len(sample))
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def _latency(seconds: Sequence[float]) -> tuple[float, float]:
    median, high = np.quantile(seconds, (0.5, 0.99))
    return float(median), float(high)
