"""The evaluation protocol.

Data    5-core: users and datasets with at least five of each other, found by pruning to a fixed point.
Split   Leave last out: each user's last *new* dataset is the target, and all of the user's interactions with it are
        held out; those of other users stay. Baselines, recall tables and ranker are made from the rest.
Time    The query's time is that of the held-out interaction. Item statistics, popular list and the user's history
        contain only interactions of the training part that are strictly earlier. Held-out interactions, also those of
        other users, are never in them. The tables are made once from the whole training part, like the baselines.
Ranker  Trained within the training part on each user's last datasets there, with tables that don't contain them.
Ranked  All datasets of the 5-core except those the user has seen. A target that recall doesn't propose is missed.
Metrics nDCG@10, recall@10, the share of the catalogue that appears in any list of ten, and the similarity of the
        datasets in a list; one target per user.
"""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.baselines import baselines, top_lists
from pipeline.evaluate.metrics import AT, Score, score
from pipeline.evaluate.split import Split, leave_last_out
from pipeline.recall import content_neighbours
from pipeline.recall.interest import interest_matrix
from pipeline.records import Records
from pipeline.train.lambdamart import TrainSettings
from pipeline.train.model import train_model
from pipeline.train.queries import Kind, Knowledge, PastQueries, ReplayedQuery, replay_queries
from ranking.diversity import DiversitySettings
from ranking.engine import select_best
from ranking.features import ItemTable
from ranking.ranker import Ranker
from ranking.recall import RecallSettings

STACK = "stack"
MAX_TEST_USERS = 10_000
_QUERIES_PER_BATCH = 200
_log = logging.getLogger(__name__)


class Evaluation(NamedTuple):
    """Scores by model name, `stack` among them, and the size of the test."""

    scores: dict[str, Score]
    users: int
    datasets: int


def evaluate(
    records: Records,
    items: ItemTable,
    recall: RecallSettings,
    diversity: DiversitySettings,
    settings: TrainSettings,
) -> Evaluation | None:
    """Score the baselines and the stack on one split; None if the 5-core of the data is empty."""
    split = leave_last_out(records, MAX_TEST_USERS, settings.seed)
    if not len(split.test):
        return None
    targets = split.records.item[split.test]
    table = ItemTable(items.content[split.kept], items.provider[split.kept], items.log_price[split.kept])
    interest = interest_matrix(split.train)
    scores = {}
    for name, scorer in baselines(interest).items():
        tops = top_lists(scorer, interest, split.records.user[split.test])
        scores[name] = score(tops, targets, table.content)
        _log.info("%s: ndcg@10 %.4f", name, scores[name].ndcg)
    tops = _stack_lists(split, table, recall, diversity, settings)
    scores[STACK] = score(tops, targets, table.content)
    _log.info("%s: ndcg@10 %.4f", STACK, scores[STACK].ndcg)
    return Evaluation(scores, len(split.test), len(split.kept))


def _stack_lists(
    split: Split, items: ItemTable, recall: RecallSettings, diversity: DiversitySettings, settings: TrainSettings
) -> NDArray[np.int32]:
    model = train_model(split.train, content_neighbours(items.content), items, recall, settings)
    past = PastQueries(split.test, np.full(len(split.test), Kind.USER, np.uint8))
    queries = replay_queries(split.records, split.train, Knowledge(model.tables, recall, items), past)
    return _rank_all(queries, Ranker(model.ranker_text), items, diversity, settings.threads)


def _rank_all(
    queries: Iterator[ReplayedQuery], ranker: Ranker, items: ItemTable, diversity: DiversitySettings, threads: int
) -> NDArray[np.int32]:
    """Return the best 10 of each query, int32 [q, 10] (-1 pads); many queries are scored at once."""
    lists = []
    for batch in _batches(queries):
        raw = ranker.scores(np.concatenate([query.matrix for query in batch]), threads)
        start = 0
        for query in batch:
            stop = start + len(query.matrix)
            best = select_best(query.candidates, query.matrix, raw[start:stop], items, diversity, AT).items
            lists.append(np.pad(best, (0, AT - len(best)), constant_values=-1))
            start = stop
    return np.stack(lists)


def _batches(queries: Iterator[ReplayedQuery]) -> Iterator[list[ReplayedQuery]]:
    batch: list[ReplayedQuery] = []
    for query in queries:
        batch.append(query)
        if len(batch) == _QUERIES_PER_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
