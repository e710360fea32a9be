"""Ranking metrics for one relevant dataset per query."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AT = 10


class Score(NamedTuple):
    """Means over all test queries.

    `coverage` is the share of the catalogue that appears in any list of 10; `similarity` the mean cosine of the content
    of two datasets in a list (intra-list similarity; Ziegler et al., WWW 2005).
    """

    ndcg: float
    recall: float
    coverage: float
    similarity: float


def score(tops: NDArray[np.int32], targets: NDArray[np.int32], content: NDArray[np.float32]) -> Score:
    """Score lists int32 [q, 10] (-1 pads) against targets [q]; `content` float32 [n, d] are unit rows, or zeros."""
    hits = tops[:, :AT] == targets[:, None]
    gains = hits / np.log2(np.arange(2, hits.shape[1] + 2))
    shown = np.unique(tops[:, :AT])
    return Score(
        float(gains.sum(axis=1).mean()),
        float(hits.any(axis=1).mean()),
        float((shown >= 0).sum() / max(1, len(content))),
        float(np.mean([_similarity(content[top[top >= 0]]) for top in tops[:, :AT]])),
    )


def _similarity(vectors: NDArray[np.float32]) -> float:
    """Return the mean cosine of all pairs of unit vectors, 0 if there is no pair."""
    pairs = len(vectors) * (len(vectors) - 1)
    total = vectors.sum(axis=0)
    return float(total @ total - (vectors * vectors).sum()) / max(1, pairs)
