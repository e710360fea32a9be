"""Queries of the past: the query just before a user's interaction with a dataset, and the data of that time."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.user_blob import PackedHistory
from pipeline.records import Records
from ranking.engine import RankingQuery, find_candidates
from ranking.features import ItemTable, feature_matrix
from ranking.item_stats import ItemStats
from ranking.popularity import popular_at
from ranking.recall import Candidates, RecallSettings, RecallTables
from ranking.user import User, make_user, user_features


class Kind(IntEnum):
    """The endpoint that the query simulates."""

    USER = 0
    DETAIL = 1
    SIMILAR = 2


class PastQueries(NamedTuple):
    """Columns of q queries in ascending time: rows of the targets in the records, and their kinds; both [q]."""

    rows: NDArray[np.int64]
    kinds: NDArray[np.uint8]


class ReplayedQuery(NamedTuple):
    """One query with its candidates, their features, and the position of its target."""

    question: RankingQuery
    candidates: Candidates
    matrix: NDArray[np.float32]
    target: int


@dataclass(frozen=True)
class Knowledge:
    """The data for all queries that doesn't change with time."""

    tables: RecallTables
    settings: RecallSettings
    items: ItemTable


def user_at(records: Records, settings: RecallSettings, user: int, before: int | None) -> User:
    """Return a user as serving would have seen one just before a time (None: at the end of the records)."""
    rows = records.rows_of(user, before)
    return make_user(
        user_features(records.types[rows], records.prices[records.item[rows]]),
        records.history(rows).packed(),
        PackedHistory(),
        records.catalogue.ids,
        half_life_days=settings.history_half_life_days,
        limit=settings.history_length,
    )


def replay_queries(
    records: Records, known: Records, knowledge: Knowledge, past: PastQueries
) -> Iterator[ReplayedQuery]:
    """Replay each query with the part of `known` before its time; the targets are rows of `records`.

    Interactions at or after a query's time, of any user, don't affect its features.
    """
    stats = known.new_stats()
    done = 0
    for row, kind in zip(past.rows, past.kinds, strict=True):
        at = int(records.ts[row])
        until = int(np.searchsorted(known.ts, at))
        stats.add(known.item[done:until], known.ts[done:until], known.types[done:until])
        done = until
        user = user_at(known, knowledge.settings, int(records.user[row]), at)
        question = _make_query(user, Kind(kind))
        candidates, matrix = candidate_features(question, knowledge, stats, at)
        yield ReplayedQuery(question, candidates, matrix, int(records.item[row]))


def candidate_features(
    question: RankingQuery, knowledge: Knowledge, stats: ItemStats, at: float
) -> tuple[Candidates, NDArray[np.float32]]:
    """Return the candidates of a query and their features as of `at`, as serving computes them."""
    settings, tables = knowledge.settings, knowledge.tables
    popular = popular_at(stats, at, settings.channel_sizes["popular"])
    found = find_candidates(RecallTables(tables.behavior, tables.content, tables.vector, popular), settings, question)
    rows = stats.rows(found.items, at)
    return found, feature_matrix(found, rows, knowledge.items, anchor=question.anchor, user=question.user)


def _make_query(user: User, kind: Kind) -> RankingQuery:
    """Return the query of a kind; the anchor is the user's previous dataset, and without one it is a USER query."""
    if kind is Kind.USER or not len(user.items):
        return RankingQuery(None, user)
    anchor = int(user.items[0])
    return RankingQuery(anchor, user) if kind is Kind.DETAIL else RankingQuery(anchor)
