"""How a shadow's answers differ from the primary's."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from recommender_api.answers.stored import StoredAnswer

AT = 10
# So many of the latest comparisons are reported on.
WINDOW = 500
_BINS = 10


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The head of an answer: at most `AT` datasets with their scores, and how long it took (s)."""

    ids: Sequence[int]
    scores: Sequence[float]
    seconds: float

    @classmethod
    def of(cls, answer: StoredAnswer, seconds: float) -> "AnswerHead":
        """Read an answer."""
        items = orjson.loads(answer.items)[:AT]
        return cls([item["dataset_id"] for item in items], [item["score"] for item in items], seconds)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one question."""

    primary: AnswerHead
    shadow: AnswerHead

    @property
    def overlap(self) -> float:
        """The share of the longer head that is in both, 0 to 1."""
        longer = max(len(self.primary.ids), len(self.shadow.ids))
        return len({*self.primary.ids} & {*self.shadow.ids}) / longer if longer else 1.0

    @property
    def differences(self) -> list[float]:
        """How far apart the two scores of each dataset in both are."""
        theirs = dict(zip(self.shadow.ids, self.shadow.scores, strict=True))
        mine = zip(self.primary.ids, self.primary.scores, strict=True)
        return [abs(score - theirs[dataset_id]) for dataset_id, score in mine if dataset_id in theirs]


@dataclass(frozen=True)
class Summary:
    """What the latest comparisons say; None where they say nothing yet. Latencies in seconds, (median, p99)."""

    pairs: int
    overlap: float | None
    score_difference: float | None
    score_psi: float | None
    primary_seconds: tuple[float, float] | None
    shadow_seconds: tuple[float, float] | None


class Comparison:
    """The latest pairs of answers of one primary and one shadow version, and what became of every mirrored question."""

    def __init__(self, primary: str, shadow: str) -> None:
        self.primary = primary
        self.shadow = shadow
        self.outcomes = {"compared": 0, "dropped": 0, "failed": 0}
        self._pairs: deque[Pair] = deque(maxlen=WINDOW)

    def add(self, pair: Pair) -> None:
        """Take two answers to one question."""
        self._pairs.append(pair)

    def summary(self) -> Summary:
        """Return what the latest pairs say."""
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

    By custom below 0.1 is no shift worth a look and above 0.25 a large one. Half an observation stands in for an empty
    bin (Siddiqi, "Credit Risk Scorecards", 2006).
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
