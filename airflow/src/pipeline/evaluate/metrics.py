"""Ranking metrics for one right answer per question."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AT = 10


class Score(NamedTuple):
    """Means over all test questions; `coverage` is the share of the catalogue that appears in any list of 10."""

    ndcg: float
    recall: float
    coverage: float


def score(tops: NDArray[np.int32], targets: NDArray[np.int32], n: int) -> Score:
    """Judge lists int32 [q, 10] (-1 pads) against targets [q], with `n` datasets in all."""
    hits = tops[:, :AT] == targets[:, None]
    gains = hits / np.log2(np.arange(2, hits.shape[1] + 2))
    shown = np.unique(tops[:, :AT])
    return Score(
        float(gains.sum(axis=1).mean()),
        float(hits.any(axis=1).mean()),
        float((shown >= 0).sum() / max(1, n)),
    )
