"""The range of a ranker's scores.

Answers show the logistic of a score, and diversification weighs by it, so the best candidates of a query must differ
there. LambdaMART's do: on MovieTweetings the best of a query has 2.4, its tenth .7. Sums of votes don't: in their own
deviation, the best of most queries are about the middle, because those of a few are far away.
"""

from collections.abc import Sequence
from typing import NamedTuple

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

_ANSWER = 10
_BEST_SCORE, _LAST_SCORE = 2.0, 0.3


class ScoreRange(NamedTuple):
    """A raw score times `scale`, plus `shift`, is in the range."""

    scale: float
    shift: float


def range_of(queries: Sequence[NDArray[np.float64]]) -> ScoreRange:
    """Return what puts the best of the median query at 2, and its tenth at .3, from the raw scores of each query."""
    sorted_ = [np.sort(scores)[::-1] for scores in queries]
    gaps = [scores[0] - scores[_ANSWER - 1] for scores in sorted_ if len(scores) >= _ANSWER]
    gap = float(np.median(gaps)) if gaps else 0.0
    scale = (_BEST_SCORE - _LAST_SCORE) / gap if gap > 0 else 1.0
    return ScoreRange(scale, _BEST_SCORE - scale * float(np.median([scores[0] for scores in sorted_])))


def put_into_range(text: str, queries: Sequence[NDArray[np.float32]]) -> str:
    """Return a LightGBM text that ranks as `text`; its scores of the queries' candidates [m, features] are in range."""
    booster = lgb.Booster(model_str=text)
    raw = np.asarray(booster.predict(np.concatenate(queries), num_threads=1), np.float64)
    found = range_of(np.split(raw, np.cumsum([len(query) for query in queries])[:-1]))
    for tree, info in enumerate(booster.dump_model()["tree_info"]):
        for leaf in range(info["num_leaves"]):
            value = booster.get_leaf_output(tree, leaf) * found.scale
            booster.set_leaf_output(tree, leaf, value + found.shift if tree == 0 else value)
    return str(booster.model_to_string())
