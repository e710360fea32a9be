"""Scores a model on the queries of an evaluation part, as serving would have answered at each moment."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contracts.user_blob import History, PackedHistory
from ranking.diversity import choose
from ranking.evaluation.models import RankingModel, align
from ranking.evaluation.part import EvaluationPart, HeldOutQueries
from ranking.features import item_table, log_prices
from ranking.item_stats import ItemStats
from ranking.own_columns import arrange_features
from ranking.ranker import Ranker
from ranking.recall import RecallSettings
from ranking.replay import Kind, Knowledge, candidate_features, make_query
from ranking.user import User, make_user

AT = 10


def query_gains(part: EvaluationPart, model: RankingModel) -> NDArray[np.float64]:
    """Return nDCG@10 of each query of the part, float64 [q]; raises `ranking.ranker.UnusableRankerError`.

    Item statistics and the popular list are those of the query's moment, from the part. Only the part's datasets are
    ranked; the model's tables, content and ranker decide.
    """
    items, ids = part.items, part.twin.ids
    aligned = align(model, ids)
    features = arrange_features(part.queries.features, part.twin.user_features, aligned.user_features)
    queries = replace(part.queries, features=features)
    table = item_table(
        np.ascontiguousarray(aligned.content),
        items.provider,
        log_prices(items.prices),
        aligned.own,
        np.ascontiguousarray(aligned.own_rows),
    )
    knowledge = Knowledge(aligned.tables, aligned.recall, table)
    ranker = Ranker(aligned.ranker_text, aligned.own.names)
    stats = ItemStats.restore(items.created_at, items.prices.astype(np.float32), items.at_cut)
    until = np.searchsorted(items.ts, queries.at)
    histories = np.concatenate([[0], np.cumsum(queries.history_counts)])
    hidden = np.concatenate([[0], np.cumsum(queries.hidden_counts)])
    gains = np.zeros(len(queries))
    done = 0
    for number in range(len(queries)):
        rows = slice(done, int(until[number]))
        stats.add(items.item[rows], items.ts[rows], items.types[rows])
        done = int(until[number])
        user = _user(queries, number, slice(histories[number], histories[number + 1]), ids, aligned.recall)
        left_out = queries.hidden[hidden[number] : hidden[number + 1]]
        question = make_query(user, Kind(queries.kinds[number]), left_out)
        candidates, matrix = candidate_features(question, knowledge, stats, float(queries.at[number]))
        if queries.answer[number] in candidates.items:
            scores = ranker.scores(matrix)
            best = np.sort(choose(scores, candidates.items, table, aligned.diversity, AT))
            best = best[np.argsort(-scores[best], kind="stable")]
            gains[number] = _gain(candidates.items[best], int(queries.answer[number]))
    return gains


def _user(queries: HeldOutQueries, number: int, rows: slice, ids: NDArray[np.int64], settings: RecallSettings) -> User:
    at = queries.at[number]
    history = History(ids[queries.history[rows]], at - queries.ages[rows], queries.types[rows])
    return make_user(
        queries.features[number],
        history.packed(),
        PackedHistory(),
        settings.history_context(ids),
        int(at),
    )


def _gain(best: NDArray[np.int32], answer: int) -> float:
    """Return nDCG of one right answer: 1 at the first place, 0 if it isn't among the best."""
    place = np.flatnonzero(best == answer)
    return 1.0 / float(np.log2(place[0] + 2)) if len(place) else 0.0
