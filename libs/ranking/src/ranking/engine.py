"""Answering a question from a loaded bundle: recall, then rank. No I/O, no clock, no state between questions."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.features import CHANNELS, ITEM_FEATURES
from contracts.user_blob import History, PackedHistory
from ranking.bundle import BundleContents
from ranking.diversity import DiversitySettings, choose
from ranking.features import ItemTable, feature_columns
from ranking.jit import compiled
from ranking.ranker import Ranker
from ranking.recall import Candidates, RecallSettings, RecallTables, channels_of, recall
from ranking.user import User, make_user

_POPULARITY = [feature.name for feature in ITEM_FEATURES].index("item_popularity_7d")

Keep = Callable[[NDArray[np.int32]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Question:
    """Who asks, about what: `anchor` is a catalogue position; `keep` is a filter over positions [m] → mask [m]."""

    anchor: int | None = None
    user: User = field(default_factory=User)
    keep: Keep | None = None


@dataclass(frozen=True)
class Ranked:
    """The best k candidates, best first: positions int32, scores in 0..1 float32, channels.

    They are `rows` of the features that were `considered`.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    channels: list[tuple[str, ...]]
    considered: NDArray[np.float32]
    rows: NDArray[np.int64]

    @property
    def matrix(self) -> NDArray[np.float32]:
        """Their features, [k, len(FEATURES)]."""
        return self.considered[self.rows]


class Engine:
    """A bundle made answerable."""

    def __init__(self, contents: BundleContents) -> None:
        """Load the ranker; raises `ranking.ranker.UnusableRankerError`."""
        self.contents = contents
        self.ranker = Ranker(contents.ranker_text)

    def user(self, features: NDArray[np.float32] | None, history: History) -> User:
        """Return a user by long-term features (None: nothing is known) and whole history, newest first."""
        return self.packed_user(features, history.packed())

    def packed_user(
        self, features: NDArray[np.float32] | None, long_term: PackedHistory, live: PackedHistory = PackedHistory()
    ) -> User:
        """Return a user by long-term features (None: nothing is known), history, and what happened since.

        Both histories are newest first, as `History.build` leaves them.
        """
        settings = self.contents.recall_settings
        return make_user(
            features,
            long_term,
            live,
            self.contents.catalogue.ids,
            half_life_days=settings.history_half_life_days,
            limit=settings.history_length,
        )

    def recall(self, question: Question, *, at_least: int = 0) -> Candidates:
        """Return the candidates without the anchor, what the user has seen and what the filter refuses.

        Where the channels propose fewer than `at_least` (a narrow filter), the most popular others that are allowed
        join at the lower end of the popular channel.
        """
        found = find_candidates(self.contents.recall, self.contents.recall_settings, question)
        missing = at_least - len(found.items)
        return found if missing <= 0 else self._refilled(found, question, missing)

    def _refilled(self, found: Candidates, question: Question, missing: int) -> Candidates:
        others = np.arange(len(self.contents.catalogue), dtype=np.int32)
        others = others[~np.isin(others, np.concatenate([found.items, question.user.seen]))]
        if question.anchor is not None:
            others = others[others != question.anchor]
        if question.keep is not None:
            others = others[question.keep(others)]
        popularity = self.contents.item_rows[others, _POPULARITY]
        others = others[np.argsort(-popularity, kind="stable")[:missing]]
        ranks = np.zeros((len(others), len(CHANNELS)), np.float32)
        size = self.contents.recall_settings.channel_sizes["popular"]
        ranks[:, CHANNELS.index("popular")] = 1.0 / np.arange(size + 1, size + 1 + len(others))
        items = np.concatenate([found.items, others])
        order = np.argsort(items)
        return Candidates(
            items[order],
            np.concatenate([found.scores, np.zeros_like(ranks)])[order],
            np.concatenate([found.ranks, ranks])[order],
        )

    def rank(self, question: Question, candidates: Candidates, limit: int) -> Ranked:
        """Return the best `limit` candidates, diversified; see `select_best`."""
        columns = feature_columns(
            candidates,
            self.contents.item_rows,
            candidates.items,
            self.contents.table,
            anchor=question.anchor,
            user=question.user,
        )
        raw = self.ranker.scores_of(columns) if columns.rows else np.empty(0)
        return select_best(candidates, columns.matrix, raw, self.contents.table, self.contents.diversity, limit)


def find_candidates(tables: RecallTables, settings: RecallSettings, question: Question) -> Candidates:
    """Return what recall proposes without the anchor, what the user has seen and what the filter refuses."""
    found = recall(tables, settings, anchor=question.anchor, user=question.user)
    return found if question.keep is None else found.only(question.keep(found.items))


def select_best(
    candidates: Candidates,
    matrix: NDArray[np.float32],
    raw: NDArray[np.float64],
    table: ItemTable,
    diversity: DiversitySettings,
    limit: int,
) -> Ranked:
    """Return the `limit` candidates that diversity chooses, by raw scores [m]; equal ones by catalogue position."""
    chosen = choose(raw, candidates.items, table, diversity, limit)
    rows, items, scores, codes = _arranged(chosen, raw, candidates.items, candidates.ranks)
    return Ranked(items, scores, channels_of(codes.tolist()), matrix, rows)


@compiled
def shown(raw: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return raw scores as answers show them, 0..1."""
    return (1.0 / (1.0 + np.exp(-raw))).astype(np.float32)


@compiled
def _arranged(
    chosen: NDArray[np.int64], raw: NDArray[np.float64], items: NDArray[np.int32], ranks: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
    """Return the chosen rows by score, their items and scores, and which channels proposed them, a bit per channel."""
    count = len(chosen)
    best = np.empty(count, np.int64)
    for number in range(count):
        row, place = chosen[number], number
        while place > 0 and (
            raw[best[place - 1]] < raw[row] or (raw[best[place - 1]] == raw[row] and best[place - 1] > row)
        ):
            best[place] = best[place - 1]
            place -= 1
        best[place] = row
    found = np.empty(count, np.int32)
    channels = np.zeros(count, np.int64)
    for place in range(count):
        found[place] = items[best[place]]
        for channel in range(ranks.shape[1]):
            channels[place] |= np.int64(ranks[best[place], channel] > 0) << channel
    return best, found, shown(raw[best]), channels
