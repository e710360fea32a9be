"""Answering a question from a loaded bundle: recall, then rank. No I/O, no clock, no state between questions."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.user_blob import History
from ranking.bundle import BundleContents
from ranking.features import feature_matrix
from ranking.ranker import Ranker
from ranking.recall import Candidates, recall
from ranking.user import User, default_features, recent_interest

Keep = Callable[[NDArray[np.int32]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Question:
    """Who asks, about what: `anchor` is a catalogue position; `keep` is a filter over positions [m] → mask [m]."""

    anchor: int | None = None
    user: User = field(default_factory=User)
    keep: Keep | None = None


@dataclass(frozen=True)
class Ranked:
    """The best k candidates, best first: positions int32, scores in 0..1 float32, channels, and their features."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    channels: list[list[str]]
    matrix: NDArray[np.float32]


class Engine:
    """A bundle made answerable."""

    def __init__(self, contents: BundleContents) -> None:
        """Load the ranker; raises `ranking.ranker.UnusableRankerError`."""
        self.contents = contents
        self.ranker = Ranker(contents.ranker_text)

    def user(self, features: NDArray[np.float32] | None, history: History) -> User:
        """Return a user by long-term features (None: nothing is known) and whole history, newest first."""
        settings = self.contents.recall_settings
        items, weights = recent_interest(
            history,
            self.contents.catalogue.positions(history.ids),
            half_life_days=settings.history_half_life_days,
            limit=settings.history_length,
        )
        return User(default_features() if features is None else features, items, weights)

    def recall(self, question: Question) -> Candidates:
        """Return the candidates without the anchor, the user's recent history and what the filter refuses."""
        found = recall(self.contents.recall, self.contents.recall_settings, anchor=question.anchor, user=question.user)
        keep = ~np.isin(found.items, question.user.items)
        if question.anchor is not None:
            keep &= found.items != question.anchor
        if question.keep is not None:
            keep &= question.keep(found.items)
        return found.only(keep)

    def rank(self, question: Question, candidates: Candidates, limit: int) -> Ranked:
        """Return the best `limit` candidates; equal scores keep the order of the catalogue."""
        matrix = feature_matrix(
            candidates,
            self.contents.item_rows[candidates.items],
            self.contents.table,
            anchor=question.anchor,
            user=question.user,
        )
        raw = self.ranker.scores(matrix) if len(matrix) else np.empty(0)
        order = np.argsort(-raw, kind="stable")[:limit]
        return Ranked(
            candidates.items[order],
            (1.0 / (1.0 + np.exp(-raw[order]))).astype(np.float32),
            [candidates.channels(row) for row in order],
            matrix[order],
        )
