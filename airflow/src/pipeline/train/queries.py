"""Queries of the past: the query just before a user's interaction with a dataset, and the data of that time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.events import InteractionType
from contracts.user_blob import PackedHistory
from pipeline.records import Records
from ranking.engine import RankingQuery
from ranking.recall import Candidates, RecallSettings
from ranking.replay import Kind, Knowledge, candidate_features, make_query
from ranking.user import NO_TIME, User, make_user


class PastQueries(NamedTuple):
    """Columns of q queries in ascending time: rows of the targets in the records, and their kinds; both [q].

    If `known_until` (Unix seconds) is not None, the queries' tables are of the time before it.
    """

    rows: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    known_until: int | None = None


class Moments(NamedTuple):
    """Columns of q queries in ascending time: users, times (Unix seconds) and kinds, each [q].

    `hidden` are for each query the positions that no model may propose: the user took them in the query's own second,
    so they are neither known at that time nor wrong.
    """

    user: NDArray[np.int32]
    at: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    hidden: Sequence[NDArray[np.int32]]


class ReplayedQuery(NamedTuple):
    """One query with its candidates, their features, and the position of its target."""

    question: RankingQuery
    candidates: Candidates
    matrix: NDArray[np.float32]
    target: int


def user_at(records: Records, settings: RecallSettings, user: int, before: int | None) -> User:
    """Return a user as serving would have seen one just before a time (None: at the end of the records)."""
    rows = records.rows_of(user, before)
    return make_user(
        records.features_of(user, rows),
        records.history(rows).packed(),
        PackedHistory(),
        settings.history_context(records.catalogue.ids),
        NO_TIME if before is None else before,
    )


def history_at(records: Records, user: int, before: int) -> PackedHistory:
    """Return the history of a user as serving would have had it just before a time."""
    return records.history(records.rows_of(user, before)).packed()


def moments_of(records: Records, past: PastQueries) -> Moments:
    """Return the moments just before the targets, which are rows of `records`."""
    hidden = [_own_second(records, int(row)) for row in past.rows]
    return Moments(records.user[past.rows], records.ts[past.rows], past.kinds, hidden)


def replay_queries(
    records: Records, known: Records, knowledge: Knowledge, past: PastQueries
) -> Iterator[ReplayedQuery]:
    """Replay each query with the part of `known` before its time; the targets are rows of `records`.

    Interactions at or after a query's time, of any user, don't affect its features.
    """
    replayed = replay_moments(known, knowledge, moments_of(records, past))
    for row, (question, candidates, matrix) in zip(past.rows, replayed, strict=True):
        yield ReplayedQuery(question, candidates, matrix, int(records.item[row]))


def replay_moments(
    known: Records, knowledge: Knowledge, moments: Moments
) -> Iterator[tuple[RankingQuery, Candidates, NDArray[np.float32]]]:
    """Yield each query with its candidates and their features, from the part of `known` before its time."""
    stats = known.new_stats()
    done = 0
    for user, at, kind, hidden in zip(*moments[:3], moments.hidden, strict=True):
        until = int(np.searchsorted(known.ts, at))
        stats.add(known.item[done:until], known.ts[done:until], known.types[done:until])
        done = until
        question = make_query(user_at(known, knowledge.settings, int(user), int(at)), Kind(kind), hidden)
        yield question, *candidate_features(question, knowledge, stats, int(at))


def _own_second(records: Records, row: int) -> NDArray[np.int32]:
    """Return the other datasets that the user of a row took in its second, without exposures."""
    at = int(records.ts[row])
    rows = records.rows_of(int(records.user[row]), at + 1)
    rows = rows[np.searchsorted(records.ts[rows], at) :]
    taken = records.item[rows[records.types[rows] != InteractionType.EXPOSURE]]
    others: NDArray[np.int32] = taken[taken != records.item[row]]
    return others
