"""Answers queries from a loaded bundle: recall, then rank. No I/O, no clock, no state between queries."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.features import CHANNELS, ITEM_FEATURES, USER_FEATURES, VOTING_CHANNELS, schema_of
from contracts.user_blob import PackedHistory
from ranking.bundle import BundleContents
from ranking.diversity import choose, choose_rows
from ranking.features import feature_columns, fill_features
from ranking.forest import forest_scores
from ranking.jit import Fields, compiled, seconds
from ranking.own_columns import column_names
from ranking.ranker import Ranker
from ranking.recall import SCRATCH, Candidates, RecallSettings, RecallTables, channels_of, propose_candidates, recall
from ranking.user import NO_TIME, User, complete_features, decode_user, make_user

NOTHING_HIDDEN = np.empty(0, np.int32)
_POPULARITY = [feature.name for feature in ITEM_FEATURES].index("item_popularity_7d")

Keep = Callable[[NDArray[np.int32]], NDArray[np.bool_]]


class RankingQuery(NamedTuple):
    """A user and a dataset: `anchor` is a catalogue position; `keep` is a filter over positions [m] → mask [m]."""

    anchor: int | None = None
    user: User = User()
    keep: Keep | None = None


class Best(NamedTuple):
    """The best k candidates, best first: positions int32, scores in 0..1 float32, and the code of their channels."""

    items: NDArray[np.int32]
    codes: NDArray[np.int64]
    scores: NDArray[np.float32]


class FusedResult(NamedTuple):
    """The best candidates, and how long (s) recall and ranking took.

    `items` int32 [m] are all candidates, and `considered` float32 [m, columns] their features.
    """

    best: Best
    recall_seconds: float
    rank_seconds: float
    items: NDArray[np.int32] = NOTHING_HIDDEN
    considered: NDArray[np.float32] = np.empty((0, 0), np.float32)


class Ranked(NamedTuple):
    """The best candidates as `rows` of the features that were `considered`, [m, columns]."""

    items: NDArray[np.int32]
    codes: NDArray[np.int64]
    scores: NDArray[np.float32]
    rows: NDArray[np.int64]
    considered: NDArray[np.float32]

    @property
    def best(self) -> Best:
        """The candidates alone."""
        return Best(self.items, self.codes, self.scores)

    @property
    def channels(self) -> list[tuple[str, ...]]:
        """The names of the channels that proposed each candidate."""
        return channels_of(self.codes.tolist())

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The features of the candidates, [k, columns]."""
        return self.considered[self.rows]


class Engine:
    """Recall and ranking over one bundle."""

    def __init__(self, contents: BundleContents) -> None:
        """Load the ranker; raises `ranking.ranker.UnusableRankerError`."""
        self.contents = contents
        self.feature_names = column_names(contents.own)
        self.ranker = Ranker(contents.ranker_text, contents.own.names)
        # In the order of a `User`.
        self.user_features = (*USER_FEATURES, *contents.own.user_features)
        self.user_schema = schema_of(self.user_features)
        settings = contents.recall_settings
        ids = contents.catalogue.ids.view()
        # Contiguous and of one type, as arrays from a file are: the loops are compiled for one kind of array.
        ids.flags.writeable = False
        self._history = settings.history_context(ids)
        # What all queries of the bundle pass to compiled code.
        self._recall_fields = (tuple(self._history), contents.recall.fields(settings))
        self._rank_fields = (contents.item_rows, tuple(contents.table), contents.diversity.fields)

    def user(
        self,
        features: NDArray[np.float32] | None,
        long_term: PackedHistory,
        live: PackedHistory = PackedHistory(),
        at: int = NO_TIME,
    ) -> User:
        """Return a user as of `at` by long-term features (None: unknown), history, and the interactions since.

        Both histories are newest first, as `History.build` returns them.
        """
        return make_user(features, long_term, live, self._history, at)

    def rank_fused(
        self,
        features: NDArray[np.float32] | None,
        long_term: PackedHistory,
        live: PackedHistory,
        *,
        anchor: int | None,
        limit: int,
        at: int = NO_TIME,
        hidden: NDArray[np.int32] = NOTHING_HIDDEN,
    ) -> FusedResult | None:
        """Do `user`, `recall` and `rank` in one compiled call; the only filter is the positions that are `hidden`.

        Return None if the separate steps are needed: there are too few candidates, or LightGBM computes the scores.
        """
        forest = self.ranker.forest
        if forest is None:
            return None
        enough, recall_seconds, rank_seconds, items, considered, *best = _recall_and_rank(
            (tuple(long_term), tuple(live), complete_features(features)),
            (-1 if anchor is None else anchor, limit, hidden, at),
            self._recall_fields,
            SCRATCH.over(len(self.contents.catalogue)),
            (*self._rank_fields, forest.fields),
        )
        return FusedResult(Best(*best), recall_seconds, rank_seconds, items, considered) if enough else None

    def recall(self, question: RankingQuery, *, at_least: int = 0) -> Candidates:
        """Return the candidates without the anchor, datasets the user has seen and those that the filter excludes.

        If the channels propose fewer than `at_least` (a narrow filter), the most popular other allowed datasets are
        added at the lower end of the popular channel.
        """
        found = find_candidates(self.contents.recall, self.contents.recall_settings, question)
        missing = at_least - len(found.items)
        return found if missing <= 0 else self._refilled(found, question, missing)

    def _refilled(self, found: Candidates, question: RankingQuery, missing: int) -> Candidates:
        others = np.arange(len(self.contents.catalogue), dtype=np.int32)
        others = others[~np.isin(others, np.concatenate([found.items, question.user.seen]))]
        if question.anchor is not None:
            others = others[others != question.anchor]
        if question.keep is not None:
            others = others[question.keep(others)]
        popularity = self.contents.item_rows[others, _POPULARITY]
        others = others[np.argsort(-popularity, kind="stable")[:missing]]
        ranks = np.zeros((len(others), len(CHANNELS)), np.float32)
        size = self.contents.recall_settings.size_of("popular")
        ranks[:, CHANNELS.index("popular")] = 1.0 / np.arange(size + 1, size + 1 + len(others))
        items = np.concatenate([found.items, others])
        order = np.argsort(items)
        return Candidates(
            items[order],
            np.concatenate([found.scores, np.zeros_like(ranks)])[order],
            np.concatenate([found.ranks, ranks])[order],
            np.concatenate([found.votes, np.zeros((len(others), len(VOTING_CHANNELS)), np.float32)])[order],
        )

    def rank(self, question: RankingQuery, candidates: Candidates, limit: int) -> Ranked:
        """Return the `limit` candidates that diversity chooses, by score; ties go to the lower position."""
        table, forest = self.contents.table, self.ranker.forest
        anchor, user = question.anchor, question.user
        if forest is None:
            columns = feature_columns(
                candidates, self.contents.item_rows, candidates.items, table, anchor=anchor, user=user
            )
            raw = self.ranker.scores(columns.matrix) if columns.rows else np.empty(0)
            order = choose(raw, candidates.items, table, self.contents.diversity, limit)
            return Ranked(*_arrange_best(order, raw, candidates.items, candidates.ranks), columns.matrix)
        return Ranked(
            *_rank_candidates(
                tuple(candidates),
                tuple(user),
                -1 if anchor is None else anchor,
                limit,
                (*self._rank_fields, forest.fields),
            )
        )


def find_candidates(tables: RecallTables, settings: RecallSettings, question: RankingQuery) -> Candidates:
    """Return the candidates of recall without the anchor, datasets the user has seen and those the filter excludes."""
    return _filter_candidates(question, recall(tables, settings, anchor=question.anchor, user=question.user))


def _filter_candidates(question: RankingQuery, found: Candidates) -> Candidates:
    return found if question.keep is None else found.only(question.keep(found.items))


# The fields of a `Ranked`: of its rows, and of all considered candidates.
_Arranged = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
_Ranked = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]


@compiled
def _recall_and_rank(
    user: Fields, question: Fields, recall_fields: Fields, scratch: Fields, rank_fields: Fields
) -> tuple[Any, ...]:
    """Compiled part of `Engine.rank_fused`; passing arrays between several calls would cost as much as some steps.

    `user` are two `PackedHistory`, long-term and live, and the features; `question` the anchor, the limit, the hidden
    positions and the time; `recall_fields` a `HistoryContext` and `RecallTables.fields`; `scratch` is `SCRATCH`;
    `rank_fields` are those of `_rank_candidates`.
    """
    began = seconds()
    long_term, live, features = user
    anchor, limit, hidden, at = question
    context, tables = recall_fields
    history, weights, seen, recent, session = decode_user(long_term, live, context, at)
    left_out = np.concatenate((seen, hidden)) if len(hidden) else seen
    known = (features, history, weights, left_out, recent, session)
    found, scores, ranks, votes = propose_candidates(anchor, known, tables, scratch)
    recalled = seconds()
    enough = len(found) >= limit
    if not enough:
        found, scores, ranks, votes = found[:0], scores[:0], ranks[:0], votes[:0]
    best = _rank_candidates((found, scores, ranks, votes), known, anchor, limit, rank_fields)
    return (enough, recalled - began, seconds() - recalled, found, best[4], *best[:3])


@compiled
def _rank_candidates(candidates: Fields, user: Fields, anchor: int, limit: int, rank_fields: Fields) -> _Ranked:
    """Do all steps of `Engine.rank` with a forest in one call, for `Candidates` and a `User`.

    `rank_fields` are the item features, an `ItemTable`, `DiversitySettings.fields` and `Forest.fields`.
    """
    items, _, ranks, _ = Candidates(*candidates)
    item_rows, table, diversity, trees = rank_fields
    values = fill_features(candidates, (item_rows, items, table), user, anchor)
    raw = forest_scores(values.reshape(values.size), len(items), trees)
    order = choose_rows(raw, items, table, diversity, limit)
    return (*_arrange_best(order, raw, items, ranks), values[:, : len(items)].T)


@compiled
def displayed_scores(raw: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return raw scores as answers show them, 0..1."""
    return (1.0 / (1.0 + np.exp(-raw))).astype(np.float32)


@compiled
def _arrange_best(
    order: NDArray[np.int64], raw: NDArray[np.float64], items: NDArray[np.int32], ranks: NDArray[np.float32]
) -> _Arranged:
    """Return the chosen candidates by score: items, codes of the channels that proposed them, scores and rows."""
    count = len(order)
    rows = np.empty(count, np.int64)
    for number in range(count):
        row, place = order[number], number
        while place > 0 and (
            raw[rows[place - 1]] < raw[row] or (raw[rows[place - 1]] == raw[row] and rows[place - 1] > row)
        ):
            rows[place] = rows[place - 1]
            place -= 1
        rows[place] = row
    found = np.empty(count, np.int32)
    codes = np.zeros(count, np.int64)
    for place in range(count):
        found[place] = items[rows[place]]
        for channel in range(ranks.shape[1]):
            codes[place] |= np.int64(ranks[rows[place], channel] > 0) << channel
    return found, codes, displayed_scores(raw[rows]), rows
