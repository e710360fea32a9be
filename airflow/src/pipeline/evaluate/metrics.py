"""Ranking metrics. Every query has a list of datasets, best first, and one or several right answers.

ndcg        gain 1/log2(1 + place) of each right answer among ten, divided by that of the best possible ten
recall      share of the right answers among the first 10 or 50
map         mean of the precision at the places of the right answers among ten, over min(10, right answers)
mrr         1/place of the first right answer, 0 if it is not among the 50
novelty     mean of -log2(share of the users that know the dataset) over ten (Castells et al. 2015)
similarity  mean cosine of the content of two datasets of a list (intra-list similarity; Ziegler et al., WWW 2005)
calibration KL divergence between the tags of the history and those of the ten, 0 is best (Steck, RecSys 2018)
coverage    share of the catalogue that appears in any list of ten
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

AT = 10
DEEP = 50
PER_QUERY = (
    "ndcg@10", "recall@10", "recall@50", "map@10", "mrr@50", "novelty@10", "similarity@10", "calibration@10",
)  # fmt: skip
COVERAGE = "coverage@10"
# Of the list's tags in Steck's smoothing: a tag that the list lacks doesn't make the divergence infinite.
_SMOOTHING = 0.01
_QUERIES_PER_BLOCK = 1000


@dataclass(frozen=True)
class Context:
    """The data of n datasets that metrics need.

    `content` float32 [n, d] of unit rows (or zeros); `surprise` float32 [n], -log2 of the share of users; `tags`
    float32 [n, t], rows that sum to 1 (or 0); `histories` float32 [q, n], rows that sum to 1 (or 0).
    """

    content: NDArray[np.float32]
    surprise: NDArray[np.float32]
    tags: NDArray[np.float32]
    histories: sparse.csr_array


class Measured(NamedTuple):
    """Values by metric for each query, float64 [q], and the share of the catalogue that was shown."""

    values: Mapping[str, NDArray[np.float64]]
    coverage: float

    def means(self) -> dict[str, float]:
        """Return the mean of each metric over the queries."""
        return {**{name: float(values.mean()) for name, values in self.values.items()}, COVERAGE: self.coverage}


def measure(tops: NDArray[np.int32], answers: Sequence[NDArray[np.int32]], context: Context) -> Measured:
    """Measure lists int32 [q, ≤ 50] (-1 pads) against the right answers of each query."""
    hits = find_hits(tops, answers, len(context.content))
    right = np.array([len(each) for each in answers])
    ten = hits[:, :AT]
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    precisions = np.cumsum(ten, axis=1) / np.arange(1, ten.shape[1] + 1)
    values = {
        "ndcg@10": ndcg(ten, right),
        "recall@10": ten.sum(axis=1) / right,
        "recall@50": hits.sum(axis=1) / right,
        "map@10": (precisions * ten).sum(axis=1) / np.minimum(AT, right),
        "mrr@50": 1.0 / first,
        **_of_lists(tops[:, :AT], context),
    }
    shown = np.unique(tops[:, :AT])
    return Measured(values, float((shown >= 0).sum() / max(1, len(context.content))))


def find_hits(tops: NDArray[np.int32], answers: Sequence[NDArray[np.int32]], datasets: int) -> NDArray[np.bool_]:
    """Return which entries of the lists are right; a pad never is."""
    query = np.repeat(np.arange(len(answers)), [len(each) for each in answers])
    right = query * datasets + np.concatenate(answers)
    hits: NDArray[np.bool_] = np.isin(np.arange(len(tops))[:, None] * datasets + tops, right) & (tops >= 0)
    return hits


def ndcg(hits: NDArray[np.bool_], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return nDCG of hits [q, k] if query i has `right[i]` right answers; the ideal has min(10, right) of them."""
    gains = 1.0 / np.log2(np.arange(2, AT + 2))
    ideal = np.cumsum(gains)[np.minimum(AT, right) - 1]
    found: NDArray[np.float64] = hits @ gains[: hits.shape[1]] / ideal
    return found


def _of_lists(tops: NDArray[np.int32], context: Context) -> dict[str, NDArray[np.float64]]:
    parts: dict[str, list[NDArray[np.float64]]] = {"novelty@10": [], "similarity@10": [], "calibration@10": []}
    for start in range(0, len(tops), _QUERIES_PER_BLOCK):
        block = tops[start : start + _QUERIES_PER_BLOCK]
        real = block >= 0
        count = np.maximum(real.sum(axis=1), 1)
        parts["novelty@10"].append((context.surprise[block] * real).sum(axis=1, dtype=np.float64) / count)
        vectors = context.content[block] * real[:, :, None]
        total = vectors.sum(axis=1, dtype=np.float64)
        pairs = np.maximum(count * (count - 1), 1)
        own = (vectors * vectors).sum(axis=(1, 2), dtype=np.float64)
        parts["similarity@10"].append(((total * total).sum(axis=1) - own) / pairs)
        liked = np.asarray(context.histories[start : start + _QUERIES_PER_BLOCK] @ context.tags, np.float64)
        listed = (context.tags[block] * real[:, :, None]).sum(axis=1, dtype=np.float64) / count[:, None]
        parts["calibration@10"].append(_divergence(liked, listed))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _divergence(liked: NDArray[np.float64], listed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return KL(liked ‖ smoothed listed) of each row in bits; 0 if nothing is known of the history's tags."""
    smoothed = (1 - _SMOOTHING) * listed + _SMOOTHING * liked
    found: NDArray[np.float64] = np.where(
        liked > 0, liked * np.log2(np.maximum(liked, 1e-30) / np.maximum(smoothed, 1e-30)), 0.0
    ).sum(axis=1)
    return found
