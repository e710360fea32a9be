"""LambdaMART over queries with one target each."""

from collections.abc import Iterable
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from contracts.features import FEATURES
from pipeline.errors import DataError
from pipeline.train.queries import ReplayedQuery


class TrainingError(DataError):
    """There is nothing to learn from: no query's target was among its candidates."""


@dataclass(frozen=True)
class TrainSettings:
    """Size of the ranker and of its training; at most 64 leaves and numeric splits keep it convertible to bit masks."""

    queries: int = 8000
    targets_per_user: int = 2
    negatives: int = 100
    trees: int = 100
    leaves: int = 31
    learning_rate: float = 0.07
    threads: int = 1
    seed: int = 42


def train_ranker(queries: Iterable[ReplayedQuery], settings: TrainSettings) -> str:
    """Train and return the LightGBM text; raises `TrainingError`."""
    rng = np.random.default_rng(settings.seed)
    matrices, labels, groups = [], [], []
    for query in queries:
        right = query.candidates.items == query.target
        if not right.any():
            continue
        wrong = np.flatnonzero(~right)
        if len(wrong) > settings.negatives:
            wrong = np.sort(rng.choice(wrong, settings.negatives, replace=False))
        rows = np.append(wrong, np.flatnonzero(right))
        matrices.append(query.matrix[rows])
        labels.append(right[rows])
        groups.append(len(rows))
    if not groups:
        raise TrainingError("no training query has its target among the candidates")
    data = lgb.Dataset(
        np.concatenate(matrices),
        np.concatenate(labels).astype(np.float32),
        group=groups,
        feature_name=[feature.name for feature in FEATURES],
        params={"use_missing": False, "verbosity": -1, "num_threads": settings.threads, "max_bin": 255},
    )
    return str(lgb.train(_parameters(settings), data, num_boost_round=settings.trees).model_to_string())


def _parameters(settings: TrainSettings) -> dict[str, object]:
    return {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 20,
        "num_leaves": settings.leaves,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": 50,
        "use_missing": False,
        "num_threads": settings.threads,
        "deterministic": True,
        "force_row_wise": True,
        "seed": settings.seed,
        "verbosity": -1,
    }
