"""Queries of the past: what a user asked at a moment, and the candidates and features of that moment."""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ranking.engine import RankingQuery, find_candidates
from ranking.features import ItemTable, feature_matrix
from ranking.item_stats import ItemStats
from ranking.popularity import LONG_HALF_LIFE_DAYS, popular_at
from ranking.recall import Candidates, RecallSettings, RecallTables
from ranking.user import User


class Kind(IntEnum):
    """The endpoint that the query simulates."""

    USER = 0
    DETAIL = 1
    SIMILAR = 2


@dataclass(frozen=True)
class Knowledge:
    """The data for all queries that doesn't change with time."""

    tables: RecallTables
    settings: RecallSettings
    items: ItemTable


def make_query(user: User, kind: Kind, hidden: NDArray[np.int32]) -> RankingQuery:
    """Return the query of a kind; the anchor is the user's previous dataset, and without one it is a USER query."""
    keep = (lambda items: ~np.isin(items, hidden)) if len(hidden) else None
    if kind is Kind.USER or not len(user.items):
        return RankingQuery(None, user, keep)
    anchor = int(user.items[0])
    return RankingQuery(anchor, user, keep) if kind is Kind.DETAIL else RankingQuery(anchor, keep=keep)


def candidate_features(
    question: RankingQuery, knowledge: Knowledge, stats: ItemStats, at: float
) -> tuple[Candidates, NDArray[np.float32]]:
    """Return the candidates of a query and their features as of `at`, as serving computes them."""
    settings, tables = knowledge.settings, knowledge.tables
    now = replace(
        tables,
        popular=popular_at(stats, at, settings.size_of("popular")),
        popular_30d=popular_at(stats, at, settings.size_of("popular_30d"), LONG_HALF_LIFE_DAYS),
    )
    found = find_candidates(now, settings, question)
    rows = stats.rows(found.items, at)
    return found, feature_matrix(found, rows, knowledge.items, anchor=question.anchor, user=question.user)
