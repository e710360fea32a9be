"""The simple models, and their best 50 datasets for each query."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.evaluate.baselines.decayed import DecayedCounts
from pipeline.evaluate.baselines.lists import DEPTH, best_columns
from pipeline.evaluate.histories import Histories, histories_of
from pipeline.evaluate.queries import QuerySet
from pipeline.recall.behavior import cosine_neighbours
from pipeline.recall.dense import DENSE
from pipeline.recall.ease import ease
from pipeline.recall.interest import interest_matrix
from pipeline.recall.slit import slit
from pipeline.recall.transition import NEXT_RANKS, PAST_RANKS, REGULARISATION, newest_by_user
from pipeline.records import Records
from ranking.item_stats import DAY

BASELINES = (
    "popularity",
    "popularity_decayed",
    "itemknn",
    "ease",
    "ease_time",
    "ease_rank",
    "ease_trend",
    "slit",
    "slit_trend",
)
MAX_COLUMNS = DENSE.all
KNN = 50
# On MovieTweetings .0914 at 200, .0939 here, .0943 at 800; on demo data .1207, .1185, .1143.
EASE_REGULARISATION = 400.0
HALF_LIFE_DAYS = 2.0
HISTORY_HALF_LIFE_DAYS = 7.0
HISTORY_RANKS = 4.0
SLIT = {"past_ranks": PAST_RANKS, "next_ranks": NEXT_RANKS, "regularisation": REGULARISATION}
TREND_WEIGHT = 30.0
# So that datasets without recent users differ little from those with one.
_LEAST_COUNT = 1.0
_QUERIES_PER_BLOCK = 512

# From the numbers of the first and last query, and their decayed counts, to scores [b, columns].
Scorer = Callable[[int, int, NDArray[np.float32]], NDArray[np.float32]]


def active_columns(train: Records, most: int = MAX_COLUMNS) -> tuple[NDArray[np.int64], float]:
    """Return the datasets that the simple models rank, and the share of the training pairs that they have.

    They are all, or the `most` with the most users: a matrix of more doesn't fit into memory.
    """
    counts = np.bincount(train.item[train.first_of_pair], minlength=len(train.catalogue))
    if len(counts) <= most:
        return np.arange(len(counts)), 1.0
    chosen = np.sort(np.argsort(-counts, kind="stable")[:most])
    return chosen, float(counts[chosen].sum() / max(1, counts.sum()))


def rank_baselines(
    train: Records, queries: QuerySet, seed: int, most: int = MAX_COLUMNS
) -> Iterator[tuple[str, NDArray[np.int32]]]:
    """Yield each model's name and its best datasets, int32 [q, 50] (-1 pads); the models are made from `train`.

    Only one matrix of all pairs of datasets is in memory at a time.
    """
    columns, _ = active_columns(train, most)
    histories = histories_of(queries, columns, seed)
    interest = sparse.csr_array(interest_matrix(train)[:, columns])
    groups: tuple[Callable[[], dict[str, Scorer]], ...] = (
        lambda: _counted(interest, histories),
        lambda: _symmetric(interest, histories),
        lambda: _directed(train, columns, histories, seed),
    )
    for models in groups:
        for name, tops in _rank(models(), queries, columns, histories).items():
            yield name, np.where(tops >= 0, columns[tops], -1).astype(np.int32)


def _rank(
    models: dict[str, Scorer], queries: QuerySet, columns: NDArray[np.int64], histories: Histories
) -> dict[str, NDArray[np.int32]]:
    counts = DecayedCounts(queries, columns, HALF_LIFE_DAYS)
    parts: dict[str, list[NDArray[np.int32]]] = {name: [] for name in models}
    for start in range(0, len(queries), _QUERIES_PER_BLOCK):
        stop = min(len(queries), start + _QUERIES_PER_BLOCK)
        decayed = counts.until(stop)
        hidden = histories.hidden[start:stop].nonzero()
        for name, scorer in models.items():
            scores = scorer(start, stop, decayed)
            scores[hidden] = -np.inf
            parts[name].append(best_columns(scores, DEPTH))
    return {name: np.concatenate(lists) for name, lists in parts.items()}


def _counted(interest: sparse.csr_array, histories: Histories) -> dict[str, Scorer]:
    users = np.asarray(interest.sum(axis=0), np.float32)
    plain = histories.weighted(np.ones(len(histories.query)))
    found = cosine_neighbours(interest, KNN)
    rows, slots = np.nonzero(found.items >= 0)
    weights = sparse.csr_array(
        (found.scores[rows, slots], (rows, found.items[rows, slots])), shape=(len(users), len(users))
    )
    # A candidate is scored by its own 50 neighbours among the user's datasets (Deshpande and Karypis 2004).
    by_candidate = sparse.csr_array(weights.T)
    return {
        "popularity": lambda start, stop, _: np.tile(users, (stop - start, 1)),
        "popularity_decayed": lambda _start, _stop, decayed: decayed.copy(),
        "itemknn": lambda start, stop, _: (plain[start:stop] @ by_candidate).toarray(),
    }


def _symmetric(interest: sparse.csr_array, histories: Histories) -> dict[str, Scorer]:
    weights = ease(interest, EASE_REGULARISATION)
    by_rank = histories.weighted(np.exp(-histories.rank / HISTORY_RANKS))
    return {
        "ease": _linear(weights, histories.weighted(np.ones(len(histories.query)))),
        "ease_time": _linear(weights, histories.weighted(np.exp2(-histories.age / (HISTORY_HALF_LIFE_DAYS * DAY)))),
        "ease_rank": _linear(weights, by_rank),
        "ease_trend": _with_trend(_linear(weights, by_rank)),
    }


def _directed(train: Records, columns: NDArray[np.int64], histories: Histories, seed: int) -> dict[str, Scorer]:
    place = np.full(len(train.catalogue), -1, np.int32)
    place[columns] = np.arange(len(columns))
    rows = train.first_of_pair
    rows = rows[place[train.item[rows]] >= 0]
    order = newest_by_user(train, rows, seed)
    weights = slit(train.user[order], place[train.item[order]], len(columns), **SLIT)
    past = histories.weighted(np.exp(-histories.rank / PAST_RANKS))
    return {"slit": _linear(weights, past), "slit_trend": _with_trend(_linear(weights, past))}


def _linear(weights: NDArray[np.float32], histories: sparse.csr_array) -> Scorer:
    return lambda start, stop, _: np.asarray(histories[start:stop] @ weights, np.float32)


def _with_trend(scorer: Scorer) -> Scorer:
    def blended(start: int, stop: int, decayed: NDArray[np.float32]) -> NDArray[np.float32]:
        trend = np.log(decayed + np.float32(_LEAST_COUNT))
        return np.asarray(trend + np.float32(TREND_WEIGHT) * scorer(start, stop, decayed), np.float32)

    return blended
