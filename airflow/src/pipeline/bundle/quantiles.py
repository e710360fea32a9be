"""How features and scores are distributed over the newest past queries, for a comparison with those that are served."""

import numpy as np
from numpy.typing import NDArray

from contracts.bundle import ValueBins
from contracts.events import InteractionType
from pipeline.records import Records
from pipeline.train.queries import PastQueries, moments_of, replay_moments
from ranking.bundle import BundleContents
from ranking.engine import Engine, displayed_scores
from ranking.replay import Kind, Knowledge

SCORES = "score"
# Some seconds, and about 100,000 candidates.
_QUERIES = 400
# Every so many queries is about a dataset, as `/recommend/detail` gets them.
_DETAIL_EVERY = 5
_SHOWN = 10
_BINS = 10


def feature_quantiles(contents: BundleContents, records: Records) -> dict[str, ValueBins]:
    """Return the bins of each column of the ranker's input over the candidates, and of the scores of the best ten."""
    rows = np.flatnonzero(records.types != InteractionType.EXPOSURE)[-_QUERIES:]
    if not len(rows):
        return {}
    kinds = np.where(np.arange(len(rows)) % _DETAIL_EVERY, int(Kind.USER), int(Kind.DETAIL)).astype(np.uint8)
    knowledge = Knowledge(contents.recall, contents.recall_settings, contents.table)
    engine = Engine(contents)
    matrices, scores = [], []
    for _, _, matrix in replay_moments(records, knowledge, moments_of(records, PastQueries(rows, kinds))):
        if len(matrix):
            matrices.append(matrix)
            scores.append(np.sort(displayed_scores(engine.ranker.scores(matrix)))[-_SHOWN:])
    if not matrices:
        return {}
    values = np.concatenate(matrices)
    columns = {name: values[:, column] for column, name in enumerate(engine.feature_names)}
    return {name: bins_of(found) for name, found in {**columns, SCORES: np.concatenate(scores)}.items()}


def bins_of(values: NDArray[np.float32]) -> ValueBins:
    """Return the bins between the deciles of values; equal deciles are one edge."""
    edges = np.unique(np.quantile(values.astype(np.float64), np.arange(1, _BINS) / _BINS, method="lower"))
    counts = count_bins(values, edges)
    return ValueBins(edges=tuple(edges.tolist()), shares=tuple((counts / len(values)).round(6).tolist()))


def count_bins(values: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many values are in each bin, [edges + 1]."""
    return np.bincount(np.searchsorted(edges, values.astype(np.float64), side="left"), minlength=len(edges) + 1)
