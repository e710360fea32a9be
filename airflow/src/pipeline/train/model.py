"""A model: recall tables and a ranker, both made from one set of records. Evaluation and deployment share this code."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.pairs import all_of_pairs, group_rows
from pipeline.quality.sufficiency import LEAST, count_learnable, describe_shortage
from pipeline.recall import build_tables
from pipeline.records import Records
from pipeline.train.graded import GradedExample
from pipeline.train.history_weights import HistoryScores, choose_history_weights
from pipeline.train.lambdamart import TrainingError, TrainSettings
from pipeline.train.order import Order, choose_order
from pipeline.train.queries import PastQueries, replay_queries
from pipeline.train.validation import ValidationQueries, keep_queries
from ranking.features import ItemTable
from ranking.recall import Neighbours, RecallSettings, RecallTables
from ranking.replay import Kind, Knowledge

_log = logging.getLogger(__name__)


class Model(NamedTuple):
    """Tables of all records, and an order that was trained and chosen with tables without its targets.

    `recall` are the settings that it was trained with.
    """

    tables: RecallTables
    order: Order
    recall: RecallSettings


class TrainingPart(NamedTuple):
    """Queries of the past, and what they are answered with, which doesn't contain their targets."""

    past: PastQueries
    knowledge: Knowledge


def train_model(
    records: Records,
    content: Neighbours,
    items: ItemTable,
    recall: RecallSettings,
    settings: TrainSettings,
    *,
    vector: Neighbours | None = None,
) -> Model:
    """Train and choose an order, and build the tables that it will rank from; `vector` are those of own vectors."""
    parts = [
        TrainingPart(past, Knowledge(training_tables(records, past, content, settings.seed, vector), recall, items))
        for past in training_queries(records, settings)
    ]
    parts, _ = with_chosen_weights(records, parts, settings)
    tables = build_tables(records, content, settings.seed, vector)
    return Model(tables, train_on(records, parts, settings), parts[0].knowledge.settings)


def with_chosen_weights(
    records: Records, parts: Sequence[TrainingPart], settings: TrainSettings
) -> tuple[list[TrainingPart], HistoryScores]:
    """Return the parts with the weights of histories that suit them best, and how well each one did."""
    chosen, scores = choose_history_weights(records, parts, settings)
    return [part._replace(knowledge=replace(part.knowledge, settings=chosen)) for part in parts], scores


def training_queries(records: Records, settings: TrainSettings) -> list[PastQueries]:
    """Return at most `settings.queries` queries of users with an earlier history, in two parts.

    The first part are the newest queries about each user's last datasets. The second are of the newest `late_share` of
    all such queries: of active users there are more, and of datasets that the tables don't know yet.
    """
    most_late = int(settings.queries * settings.late_queries)
    rng = np.random.default_rng(settings.seed)
    last = last_pairs(records, settings.targets_per_user, least_before=1, seed=settings.seed)
    last = last[max(0, len(last) - (settings.queries - most_late)) :]
    late, cut = _late_pairs(records, settings)
    if len(late) > most_late:
        late = np.sort(rng.choice(late, most_late, replace=False))
    shares = settings.kind_shares
    return [_of_all_kinds(last, shares, rng), _of_all_kinds(late, shares, rng)._replace(known_until=cut)]


def training_tables(
    records: Records, past: PastQueries, content: Neighbours, seed: int, vector: Neighbours | None = None
) -> RecallTables:
    """Return tables without the targets of a part."""
    known = ~of_pairs(records, past.rows) if past.known_until is None else records.ts < past.known_until
    return build_tables(records.only(known), content, seed, vector)


def train_on(
    records: Records,
    parts: Sequence[TrainingPart],
    settings: TrainSettings,
    graded: Sequence[GradedExample] = (),
) -> Order:
    """Train a ranker on the queries and graded examples, and choose the order.

    Raises `TrainingError`, which says what is missing.
    """
    # Content may find the targets of one user, but only what users have in common is worth learning.
    if not count_learnable(records.user, records.item, records.ts):
        raise _shortage("no user has taken a dataset after another user", records)
    try:
        return choose_order(replay_parts(records, parts, settings, graded), settings)
    except TrainingError as error:
        raise _shortage(str(error), records) from error


def replay_parts(
    records: Records,
    parts: Sequence[TrainingPart],
    settings: TrainSettings,
    graded: Sequence[GradedExample] = (),
) -> ValidationQueries:
    """Replay the queries, and return what a ranker is trained and compared on."""
    replayed = chain.from_iterable(replay_queries(records, records, part.knowledge, part.past) for part in parts)
    user = np.concatenate([records.user[part.past.rows] for part in parts])
    kinds = np.concatenate([part.past.kinds for part in parts])
    return keep_queries(replayed, user, kinds, settings, graded)


def _shortage(error: str, records: Records) -> TrainingError:
    reason = describe_shortage(records.user, records.item, records.ts)
    needed = "" if LEAST in reason else f"; {LEAST}"
    return TrainingError(f"{error}: {reason}{needed}")


def _of_all_kinds(rows: NDArray[np.int64], shares: Mapping[Kind, float], rng: np.random.Generator) -> PastQueries:
    return PastQueries(rows, rng.choice(np.array(list(shares), np.uint8), len(rows), p=list(shares.values())))


def _late_pairs(records: Records, settings: TrainSettings) -> tuple[NDArray[np.int64], int]:
    """Return the rows of the newest new datasets of users with earlier ones, and the time from which they are."""
    rows = last_pairs(records, len(records), least_before=1, seed=settings.seed)
    if not len(rows):
        return rows, records.end
    cut = int(records.ts[rows[int(len(rows) * (1 - settings.late_share))]])
    late = rows[records.ts[rows] >= cut]
    # Nothing is known before the first moment of all.
    return (late, cut) if cut > records.start else (late[:0], cut)


def last_pairs(records: Records, per_user: int, *, least_before: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of each user's last `per_user` new datasets that have `least_before` earlier ones, by time.

    The seed decides between datasets of one second: by their number, the target of such users would follow the number.
    """
    rows = records.first_of_pair
    user = records.user[rows]
    order, starts = group_rows(user, len(records.user_ids))
    _shuffle_seconds(order, user, records.ts[rows], np.random.default_rng(seed).random(len(rows)))
    place = np.arange(len(rows)) - starts[user[order]]
    from_end = starts[user[order] + 1] - starts[user[order]] - 1 - place
    chosen = rows[order[(place >= least_before) & (from_end < per_user)]]
    return np.sort(chosen)


def _shuffle_seconds(
    order: NDArray[np.int64], user: NDArray[np.int32], ts: NDArray[np.int64], tie: NDArray[np.float64]
) -> None:
    """Put rows of one user's second, which are neighbours in `order`, in the order of `tie`; all [m]."""
    same = np.append(False, (user[order[1:]] == user[order[:-1]]) & (ts[order[1:]] == ts[order[:-1]]))
    places = np.flatnonzero(same | np.append(same[1:], False))
    rows = order[places]
    order[places] = rows[np.lexsort((tie[rows], ts[rows], user[rows]))]


def of_pairs(records: Records, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask [m] of all interactions between the users and datasets of `rows`."""
    return all_of_pairs(records.by_user, records.user, records.item, rows, len(records.catalogue))
