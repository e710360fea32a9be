"""LambdaMART over queries with one target each, and over answers with graded outcomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES, TRAINED_FEATURES
from pipeline.errors import DataError
from pipeline.train.graded import GradedExample, ranked_rows
from pipeline.train.queries import ReplayedQuery
from ranking.replay import Kind

# Shares of the queries by kind: the same ranker serves /recommend/user, /recommend/detail and /similar.
KIND_SHARES = MappingProxyType({Kind.USER: 0.8, Kind.DETAIL: 0.1, Kind.SIMILAR: 0.1})


class TrainingError(DataError):
    """There is nothing to learn from: no query's target was among its candidates."""


@dataclass(frozen=True)
class TrainSettings:
    """Size of the ranker and of its training; at most 64 leaves and numeric splits keep it convertible to bit masks.

    With `simple_orders`, a simple order that the ranker is not better than takes its place. `own_features` are the
    names of the declared columns. `label_gains` are those of a grade: nothing, click (and each target), favourite,
    purchase; without graded examples they change nothing.
    """

    queries: int = 32_000
    targets_per_user: int = 4
    late_queries: float = 0.6
    late_share: float = 0.3
    negatives: int = 25
    kind_shares: Mapping[Kind, float] = field(default_factory=lambda: KIND_SHARES)
    # A week, a month, and no decay; by rank: about the last two, five, twelve datasets.
    half_lives_days: tuple[float, ...] = (7.0, 30.0, 1000.0)
    recent_ranks: tuple[float, ...] = (2.0, 5.0, 12.0)
    left_out_features: tuple[str, ...] = ()
    trees: int = 150
    leaves: int = 15
    learning_rate: float = 0.09
    feature_fraction: float = 0.5
    simple_orders: bool = True
    threads: int = 1
    seed: int = 42
    own_features: tuple[str, ...] = ()
    label_gains: tuple[float, float, float, float] = (0.0, 1.0, 2.0, 4.0)

    @property
    def trained_names(self) -> list[str]:
        """The names of the ranker's columns, in their order."""
        return [*TRAINED_NAMES, *self.own_features]


# The least rows of a leaf: one of a thousand, within these bounds. Fewer are learned by heart.
_ROWS_PER_LEAF_ROW = 1000
_LEAF_ROWS = (20, 200)
TRAINED_NAMES = [feature.name for feature in TRAINED_FEATURES]
_TRAINED = [FEATURES.index(feature) for feature in TRAINED_FEATURES]


def trained_columns(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the columns of a feature matrix that rankers are trained on; the declared ones are the last."""
    return matrix[:, [*_TRAINED, *range(len(FEATURES), matrix.shape[1])]]


def sample_example(
    query: ReplayedQuery, settings: TrainSettings, rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """Return the trained features of a query's target (the last row) and of some other candidates.

    A feature that is left out is 0 everywhere, so it decides nothing. It stays a column: serving computes others from
    those of the bundle. None if the target is not among the candidates.
    """
    right = query.candidates.items == query.target
    if not right.any():
        return None
    wrong = np.flatnonzero(~right)
    if len(wrong) > settings.negatives:
        wrong = np.sort(rng.choice(wrong, settings.negatives, replace=False))
    return example_rows(query.matrix[np.append(wrong, np.flatnonzero(right))], settings)


def example_rows(matrix: NDArray[np.float32], settings: TrainSettings) -> NDArray[np.float32]:
    """Return the trained features of candidates; those that are left out are 0."""
    example = trained_columns(matrix)
    example[:, [TRAINED_NAMES.index(name) for name in settings.left_out_features]] = 0.0
    return example


class BoostedTrees(NamedTuple):
    """What boosting has made: the trees that it began with, if any, and its own."""

    booster: lgb.Booster
    first: int

    def text(self, trees: int) -> str:
        """Return the LightGBM text with the first `trees` of its own; 0 is only for boosting that began with some."""
        return str(self.booster.model_to_string(num_iteration=self.first + trees))


def boost(
    examples: Sequence[NDArray[np.float32]],
    settings: TrainSettings,
    *,
    trees: int,
    start: str = "",
    graded: Sequence[GradedExample] = (),
) -> BoostedTrees:
    """Train on the examples of `sample_example` and on graded ones, from nothing or from the LightGBM text `start`.

    LightGBM learns a bias of each place beside the trees, which are all that is kept (unbiased LambdaMART).
    """
    rows = ranked_rows(examples, graded)
    data = lgb.Dataset(
        rows.matrix,
        rows.labels,
        group=rows.groups,
        weight=rows.weights,
        position=rows.places,
        feature_name=settings.trained_names,
        params={"use_missing": False, "verbosity": -1, "num_threads": settings.threads, "max_bin": 255},
    )
    parameters = _parameters(settings, least=int(np.clip(len(rows.labels) // _ROWS_PER_LEAF_ROW, *_LEAF_ROWS)))
    if graded:
        parameters["label_gain"] = list(settings.label_gains)
    first = lgb.Booster(model_str=start) if start else None
    booster = lgb.train(parameters, data, num_boost_round=trees, init_model=first)
    return BoostedTrees(booster, first.num_trees() if first is not None else 0)


def _parameters(settings: TrainSettings, least: int) -> dict[str, object]:
    return {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 20,
        "num_leaves": settings.leaves,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": least,
        "feature_fraction": settings.feature_fraction,
        "use_missing": False,
        "num_threads": settings.threads,
        "deterministic": True,
        "force_col_wise": True,
        "seed": settings.seed,
        "verbosity": -1,
    }
