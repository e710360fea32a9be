"""The simple models, and their best 50 datasets for each query."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.evaluate.baselines.decayed import DecayedCounts
from pipeline.evaluate.histories import Histories
from pipeline.evaluate.metrics import DEEP
from pipeline.evaluate.queries import QuerySet
from pipeline.recall.behavior import cosine_neighbours
from pipeline.recall.dense import DENSE
from pipeline.recall.ease import ease
from pipeline.recall.interest import interest_matrix
from pipeline.recall.slit import slit
from pipeline.recall.top_k import best_of_rows
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

# From the numbers of the first and last query, and their decayed counts, to each model's scores [b, columns].
_Scorer = Callable[[int, int, NDArray[np.float32]], dict[str, NDArray[np.float32]]]
# From what queries know to what scores them.
_Models = Callable[[Histories], _Scorer]


def active_columns(train: Records, most: int = MAX_COLUMNS) -> tuple[NDArray[np.int64], float]:
    """Return the datasets that the simple models rank, and the share of the training pairs that they have.

    They are all, or the `most` with the most users: a matrix of more doesn't fit into memory.
    """
    counts = np.bincount(train.item[train.first_of_pair], minlength=len(train.catalogue))
    if len(counts) <= most:
        return np.arange(len(counts)), 1.0
    chosen = np.sort(np.argsort(-counts, kind="stable")[:most])
    return chosen, float(counts[chosen].sum() / max(1, counts.sum()))


class Asked(NamedTuple):
    """Queries, and what each of them knows of its user."""

    queries: QuerySet
    histories: Histories


def rank_baselines(
    train: Records, asked: Sequence[Asked], seed: int, most: int = MAX_COLUMNS
) -> Iterator[tuple[str, list[NDArray[np.int32]]]]:
    """Yield each model's name, and for each of `asked` its best datasets, int32 [q, 50] (-1 pads).

    The models are made from `train`, once for all queries. Only one matrix of all pairs of datasets is in memory at a
    time.
    """
    columns, _ = active_columns(train, most)
    inside = [Asked(queries, histories.over(columns)) for queries, histories in asked]
    interest = sparse.csr_array(interest_matrix(train)[:, columns])
    groups: tuple[Callable[[], _Models], ...] = (
        lambda: _counted(interest),
        lambda: _symmetric(interest),
        lambda: _directed(train, columns, seed),
    )
    for make in groups:
        for name, found in _rank_by(make(), inside, columns).items():
            yield name, [np.where(tops >= 0, columns[tops], -1).astype(np.int32) for tops in found]


def _rank_by(models: _Models, asked: Sequence[Asked], columns: NDArray[np.int64]) -> dict[str, list[NDArray[np.int32]]]:
    by_set = [_rank(models(each.histories), each, columns) for each in asked]
    return {name: [found[name] for found in by_set] for name in by_set[0]}


def _rank(scorer: _Scorer, asked: Asked, columns: NDArray[np.int64]) -> dict[str, NDArray[np.int32]]:
    counts = DecayedCounts(asked.queries, columns, HALF_LIFE_DAYS)
    parts: dict[str, list[NDArray[np.int32]]] = {}
    for start in range(0, len(asked.queries), _QUERIES_PER_BLOCK):
        stop = min(len(asked.queries), start + _QUERIES_PER_BLOCK)
        decayed = counts.until(stop)
        hidden = asked.histories.hidden[start:stop].nonzero()
        for name, scores in scorer(start, stop, decayed).items():
            scores[hidden] = -np.inf
            parts.setdefault(name, []).append(best_of_rows(scores, DEEP))
    return {name: np.concatenate(lists) for name, lists in parts.items()}


def _counted(interest: sparse.csr_array) -> _Models:
    users = np.asarray(interest.sum(axis=0), np.float32)
    found = cosine_neighbours(interest, KNN)
    rows, slots = np.nonzero(found.items >= 0)
    weights = sparse.csr_array(
        (found.scores[rows, slots], (rows, found.items[rows, slots])), shape=(len(users), len(users))
    )
    # A candidate is scored by its own 50 neighbours among the user's datasets (Deshpande and Karypis 2004).
    by_candidate = sparse.csr_array(weights.T)

    def models(histories: Histories) -> _Scorer:
        plain = histories.weighted(np.ones(len(histories.query)))
        return lambda start, stop, decayed: {
            "popularity": np.tile(users, (stop - start, 1)),
            "popularity_decayed": decayed.copy(),
            "itemknn": (plain[start:stop] @ by_candidate).toarray(),
        }

    return models


def _symmetric(interest: sparse.csr_array) -> _Models:
    weights = ease(interest, EASE_REGULARISATION)

    def models(histories: Histories) -> _Scorer:
        plain = histories.weighted(np.ones(len(histories.query)))
        by_time = histories.weighted(np.exp2(-histories.age / (HISTORY_HALF_LIFE_DAYS * DAY)))
        by_rank = histories.weighted(np.exp(-histories.rank / HISTORY_RANKS))

        def score(start: int, stop: int, decayed: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
            ranked = by_rank[start:stop] @ weights
            return {
                "ease": plain[start:stop] @ weights,
                "ease_time": by_time[start:stop] @ weights,
                "ease_rank": ranked,
                "ease_trend": _with_trend(ranked, decayed),
            }

        return score

    return models


def _directed(train: Records, columns: NDArray[np.int64], seed: int) -> _Models:
    place = np.full(len(train.catalogue), -1, np.int32)
    place[columns] = np.arange(len(columns))
    rows = train.first_of_pair
    rows = rows[place[train.item[rows]] >= 0]
    order = newest_by_user(train, rows, seed)
    weights = slit(train.user[order], place[train.item[order]], len(columns), **SLIT)

    def models(histories: Histories) -> _Scorer:
        past = histories.weighted(np.exp(-histories.rank / PAST_RANKS))

        def score(start: int, stop: int, decayed: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
            followed = past[start:stop] @ weights
            return {"slit": followed, "slit_trend": _with_trend(followed, decayed)}

        return score

    return models


def _with_trend(scores: NDArray[np.float32], decayed: NDArray[np.float32]) -> NDArray[np.float32]:
    blended: NDArray[np.float32] = np.log(decayed + np.float32(_LEAST_COUNT)) + np.float32(TREND_WEIGHT) * scores
    return blended
