"""Estimates of memory and time of a training; they are rough, and meant for choosing a machine."""

from dataclasses import dataclass

from contracts.features import FEATURES, TRAINED_FEATURES
from pipeline.explain.channels import ActiveDatasets
from pipeline.recall.dense import DENSE
from pipeline.train import TrainSettings
from pipeline.train.validation import MAX_CROSS_VALIDATED

_BYTES = 4
# float32 matrices of all pairs of datasets that are in memory at once.
_EASE_MATRICES, _SLIT_MATRICES = 5, 4
# The examples, their concatenation, and LightGBM's bins of one byte.
_COPIES = 2 + 1 / _BYTES
_CANDIDATES = 230
# Whose candidates are all in memory, to compare the orders.
_COMPARED_QUERIES = 5_000
# Python, LightGBM, SciPy and the compiled code.
_PROCESS_MB = 400
# On one core of a server of 2024.
SECONDS_PER_QUERY = 0.0009
ROW_TREES_PER_SECOND = 4_200_000
# On half of the queries, to compare with the simple orders, and then on all.
_TRAININGS = 1.5
# Four times on three quarters of the queries, and then on all.
_CROSS_VALIDATED_TRAININGS = 4 * 0.75 + 1


@dataclass(frozen=True)
class Costs:
    """Of the steps `recall` and `train`: peak memory in MB, and CPU seconds of `train`."""

    recall_mb: int
    train_mb: int
    train_seconds: int


def estimate_costs(queries: int, active: ActiveDatasets, settings: TrainSettings) -> Costs:
    """Return what a training of so many queries costs."""
    dense = [
        matrices * (datasets if datasets <= DENSE.all else DENSE.popular) ** 2
        for datasets, matrices in ((active.pairs, _EASE_MATRICES), (active.newest, _SLIT_MATRICES))
    ]
    rows = queries * (settings.negatives + 1)
    cells = rows * len(TRAINED_FEATURES) * _COPIES + min(queries, _COMPARED_QUERIES) * _CANDIDATES * len(FEATURES)
    trainings = _CROSS_VALIDATED_TRAININGS if queries <= MAX_CROSS_VALIDATED else _TRAININGS
    seconds = queries * SECONDS_PER_QUERY + trainings * rows * settings.trees / ROW_TREES_PER_SECOND
    return Costs(
        _PROCESS_MB + round(max(dense) * _BYTES / 1e6),
        _PROCESS_MB + round(cells * _BYTES / 1e6),
        round(seconds),
    )
