"""Questions of the past: what would have been asked just before a user turned to a dataset, and what was known then."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.user_blob import PackedHistory
from pipeline.records import Records
from ranking.engine import Question, find_candidates
from ranking.features import ItemTable, feature_matrix
from ranking.item_stats import ItemStats
from ranking.popularity import popular_at
from ranking.recall import Candidates, RecallSettings, RecallTables
from ranking.user import User, make_user, user_features


class Kind(IntEnum):
    """Which endpoint the question is like."""

    USER = 0
    DETAIL = 1
    SIMILAR = 2


class Past(NamedTuple):
    """Columns of q questions in ascending time: rows of the targets in the records, and their kinds; both [q]."""

    rows: NDArray[np.int64]
    kinds: NDArray[np.uint8]


class Asked(NamedTuple):
    """One question with its candidates, their features, and the position of the dataset that the user turned to."""

    question: Question
    candidates: Candidates
    matrix: NDArray[np.float32]
    target: int


@dataclass(frozen=True)
class Knowledge:
    """What answers the questions, besides what changes with time."""

    tables: RecallTables
    settings: RecallSettings
    items: ItemTable


def user_at(records: Records, settings: RecallSettings, user: int, before: int | None) -> User:
    """Return a user as serving would have seen one just before a moment (None: at the end of the records)."""
    rows = records.rows_of(user, before)
    return make_user(
        user_features(records.types[rows], records.prices[records.item[rows]]),
        records.history(rows).packed(),
        PackedHistory(),
        records.catalogue.ids,
        half_life_days=settings.history_half_life_days,
        limit=settings.history_length,
    )


def ask(records: Records, known: Records, knowledge: Knowledge, past: Past) -> Iterator[Asked]:
    """Ask each question with what `known` held before its moment; the targets are rows of `records`.

    Nothing at or after a question's moment enters its features: neither its user's, nor anybody's.
    """
    stats = known.new_stats()
    done = 0
    for row, kind in zip(past.rows, past.kinds, strict=True):
        at = int(records.ts[row])
        until = int(np.searchsorted(known.ts, at))
        stats.add(known.item[done:until], known.ts[done:until], known.types[done:until])
        done = until
        user = user_at(known, knowledge.settings, int(records.user[row]), at)
        question = _question(user, Kind(kind))
        candidates, matrix = consider(question, knowledge, stats, at)
        yield Asked(question, candidates, matrix, int(records.item[row]))


def consider(
    question: Question, knowledge: Knowledge, stats: ItemStats, at: float
) -> tuple[Candidates, NDArray[np.float32]]:
    """Return the candidates of a question and their features as of `at`, as serving makes them."""
    settings, tables = knowledge.settings, knowledge.tables
    popular = popular_at(stats, at, settings.channel_sizes["popular"])
    found = find_candidates(RecallTables(tables.behavior, tables.content, tables.vector, popular), settings, question)
    rows = stats.rows(found.items, at)
    return found, feature_matrix(found, rows, knowledge.items, anchor=question.anchor, user=question.user)


def _question(user: User, kind: Kind) -> Question:
    """Make the question of a kind; the anchor is what the user turned to before, without one it is a USER question."""
    if kind is Kind.USER or not len(user.items):
        return Question(None, user)
    anchor = int(user.items[0])
    return Question(anchor, user) if kind is Kind.DETAIL else Question(anchor)
