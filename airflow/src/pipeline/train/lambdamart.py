"""LambdaMART over queries with one target each."""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES, TRAINED_FEATURES
from pipeline.errors import DataError
from pipeline.train.queries import ReplayedQuery


class TrainingError(DataError):
    """There is nothing to learn from: no query's target was among its candidates."""


@dataclass(frozen=True)
class TrainSettings:
    """Size of the ranker and of its training; at most 64 leaves and numeric splits keep it convertible to bit masks."""

    queries: int = 32_000
    targets_per_user: int = 4
    late_queries: float = 0.6
    late_share: float = 0.3
    negatives: int = 25
    trees: int = 200
    leaves: int = 15
    learning_rate: float = 0.07
    threads: int = 1
    seed: int = 42


# The least rows of a leaf: one of a thousand, within these bounds. Fewer are learned by heart.
_ROWS_PER_LEAF_ROW = 1000
_LEAF_ROWS = (20, 200)
TRAINED_NAMES = [feature.name for feature in TRAINED_FEATURES]
_TRAINED = [FEATURES.index(feature) for feature in TRAINED_FEATURES]


def trained_columns(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the columns of [m, len(FEATURES)] that rankers are trained on."""
    return matrix[:, _TRAINED]


def sample_example(
    query: ReplayedQuery, settings: TrainSettings, rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """Return the trained features of a query's target (the last row) and of some other candidates.

    None if the target is not among the candidates.
    """
    right = query.candidates.items == query.target
    if not right.any():
        return None
    wrong = np.flatnonzero(~right)
    if len(wrong) > settings.negatives:
        wrong = np.sort(rng.choice(wrong, settings.negatives, replace=False))
    return trained_columns(query.matrix[np.append(wrong, np.flatnonzero(right))])


def train_ranker(examples: Sequence[NDArray[np.float32]], settings: TrainSettings) -> str:
    """Train on the examples of `sample_example`, and return the LightGBM text."""
    groups = [len(example) for example in examples]
    labels = np.zeros(sum(groups), np.float32)
    labels[np.cumsum(groups) - 1] = 1.0
    data = lgb.Dataset(
        np.concatenate(examples),
        labels,
        group=groups,
        feature_name=TRAINED_NAMES,
        params={"use_missing": False, "verbosity": -1, "num_threads": settings.threads, "max_bin": 255},
    )
    parameters = _parameters(settings, least=int(np.clip(len(labels) // _ROWS_PER_LEAF_ROW, *_LEAF_ROWS)))
    return str(lgb.train(parameters, data, num_boost_round=settings.trees).model_to_string())


def _parameters(settings: TrainSettings, least: int) -> dict[str, object]:
    return {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 20,
        "num_leaves": settings.leaves,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": least,
        "feature_fraction": 0.5,
        "use_missing": False,
        "num_threads": settings.threads,
        "deterministic": True,
        "force_row_wise": True,
        "seed": settings.seed,
        "verbosity": -1,
    }
