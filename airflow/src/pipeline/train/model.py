"""A model: recall tables and a ranker, both made from one set of records. Evaluation and deployment share this code."""

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.quality.sufficiency import LEAST, describe_shortage
from pipeline.recall import build_tables
from pipeline.records import Records
from pipeline.train.lambdamart import TrainingError, TrainSettings
from pipeline.train.order import Order, choose_order
from pipeline.train.queries import PastQueries, replay_queries
from ranking.features import ItemTable
from ranking.recall import Neighbours, RecallSettings, RecallTables
from ranking.replay import Kind, Knowledge

_log = logging.getLogger(__name__)
# Shares of the queries by kind: the same ranker serves /recommend/user, /recommend/detail and /similar.
KIND_SHARES = {Kind.USER: 0.6, Kind.DETAIL: 0.2, Kind.SIMILAR: 0.2}


class Model(NamedTuple):
    """Tables of all records, and an order that was trained and chosen with tables without its targets."""

    tables: RecallTables
    order: Order


def train_model(
    records: Records, content: Neighbours, items: ItemTable, recall: RecallSettings, settings: TrainSettings
) -> Model:
    """Train and choose an order, and build the tables that it will rank from."""
    past = training_queries(records, settings)
    heldout = Knowledge(heldout_tables(records, past, content, settings.seed), recall, items)
    order = train_on(records, past, heldout, settings)
    return Model(build_tables(records, content, settings.seed), order)


def training_queries(records: Records, settings: TrainSettings) -> PastQueries:
    """Return the newest queries about each user's last datasets, for users with an earlier history."""
    rows = last_pairs(records, settings.targets_per_user, least_before=1, seed=settings.seed)[-settings.queries :]
    rng = np.random.default_rng(settings.seed)
    kinds = rng.choice(np.array(list(KIND_SHARES), np.uint8), len(rows), p=list(KIND_SHARES.values()))
    return PastQueries(rows, kinds)


def heldout_tables(records: Records, past: PastQueries, content: Neighbours, seed: int) -> RecallTables:
    """Return tables without the targets."""
    return build_tables(records.only(~of_pairs(records, past.rows)), content, seed)


def train_on(records: Records, past: PastQueries, knowledge: Knowledge, settings: TrainSettings) -> Order:
    """Train a ranker on the queries and choose the order; raises `TrainingError` that says what is missing."""
    replayed = replay_queries(records, records, knowledge, past)
    try:
        return choose_order(replayed, records.user[past.rows], past.kinds, settings)
    except TrainingError as error:
        reason = describe_shortage(records.user.astype(np.int64), records.item.astype(np.int64), records.ts)
        needed = "" if LEAST in reason else f"; {LEAST}"
        raise TrainingError(f"{error}: {reason}{needed}") from error


def last_pairs(records: Records, per_user: int, *, least_before: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of each user's last `per_user` new datasets that have `least_before` earlier ones, by time.

    The seed decides between datasets of one second: by their number, the target of such users would follow the number.
    """
    rows = records.first_of_pair
    user = records.user[rows]
    order = np.lexsort((np.random.default_rng(seed).random(len(rows)), records.ts[rows], user))
    starts = np.searchsorted(user[order], np.arange(len(records.user_ids) + 1))
    place = np.arange(len(rows)) - starts[user[order]]
    from_end = starts[user[order] + 1] - starts[user[order]] - 1 - place
    chosen = rows[order[(place >= least_before) & (from_end < per_user)]]
    return np.sort(chosen)


def of_pairs(records: Records, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask [m] of all interactions between the users and datasets of `rows`."""
    n = max(1, len(records.catalogue))
    pair = records.user.astype(np.int64) * n + records.item
    return np.isin(pair, pair[rows])
