"""How fast the weight of a history falls, by time and by rank: chosen by how well votes alone find the targets."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.features import VOTING_CHANNELS
from contracts.user_blob import PackedHistory
from pipeline.records import Records
from pipeline.train.lambdamart import TrainSettings
from pipeline.train.queries import PastQueries, history_at, moments_of
from ranking.engine import find_candidates
from ranking.recall import RecallSettings
from ranking.replay import Kind, Knowledge, make_query
from ranking.user import make_user

# Of each part. Fewer don't tell a month from no decay where times mean nothing.
MAX_QUERIES = 1500
_MIN_QUERIES = 100
_AT = 10
_HISTORY = ("history",)
_RECENT = ("recent", "transition")
# nDCG@10 of each value that was tried, by setting; nothing for a setting of one value, or for few queries.
HistoryScores = dict[str, dict[float, float]]
_log = logging.getLogger(__name__)


class _Query(NamedTuple):
    """A history at a time (Unix seconds), what is not proposed, and the dataset that was taken."""

    history: PackedHistory
    at: int
    hidden: NDArray[np.int32]
    target: int


class HistoryWeights(NamedTuple):
    """The settings with the chosen weights, and how well each one did."""

    settings: RecallSettings
    scores: HistoryScores


def choose_history_weights(
    records: Records, parts: Sequence[tuple[PastQueries, Knowledge]], training: TrainSettings
) -> HistoryWeights:
    """Return the settings with the half-life and the ranks of the highest nDCG@10; unchanged for few queries."""
    settings = parts[0][1].settings
    asked = [(_ask(records, _sample(past, training.seed)), knowledge) for past, knowledge in parts]
    if sum(len(queries) for queries, _ in asked) < _MIN_QUERIES:
        return HistoryWeights(settings, {})
    scores: HistoryScores = {}
    for name, values, channels in (
        ("history_half_life_days", training.half_lives_days, _HISTORY),
        ("recent_ranks", training.recent_ranks, _RECENT),
    ):
        if len(values) == 1:
            settings = settings.model_copy(update={name: values[0]})
            continue
        # Without votes, all values are equal.
        if not any(settings.size_of(channel) for channel in channels):
            continue
        tried = [settings.model_copy(update={name: value}) for value in values]
        gains = [
            float(
                np.mean(
                    [
                        gain
                        for queries, knowledge in asked
                        for gain in _gains(records, queries, replace(knowledge, settings=each), channels)
                    ]
                )
            )
            for each in tried
        ]
        settings = tried[int(np.argmax(gains))]
        found = ", ".join(f"{value:g}: {gain:.4f}" for value, gain in zip(values, gains, strict=True))
        _log.info("%s: nDCG@10 of the votes %s", name, found)
        scores[name] = dict(zip(values, gains, strict=True))
    return HistoryWeights(settings, scores)


def _sample(past: PastQueries, seed: int) -> PastQueries:
    """Return some queries, all as `/recommend/user` gets them."""
    rows = past.rows[past.kinds == Kind.USER]
    if len(rows) > MAX_QUERIES:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_QUERIES, replace=False))
    return PastQueries(rows, np.full(len(rows), Kind.USER, np.uint8))


def _ask(records: Records, past: PastQueries) -> list[_Query]:
    """Return the queries; their histories are looked up once for all values that are tried."""
    moments = moments_of(records, past)
    return [
        _Query(history_at(records, int(user), int(at)), int(at), hidden, int(records.item[row]))
        for row, user, at, hidden in zip(past.rows, moments.user, moments.at, moments.hidden, strict=True)
    ]


def _gains(records: Records, queries: Sequence[_Query], knowledge: Knowledge, channels: tuple[str, ...]) -> list[float]:
    """Return nDCG@10 of each query, ordered by the sum of the channels' votes."""
    columns = [VOTING_CHANNELS.index(channel) for channel in channels]
    context = knowledge.settings.history_context(records.catalogue.ids)
    gains: list[float] = []
    for history, at, hidden, target in queries:
        # Votes need no long-term features.
        question = make_query(make_user(None, history, PackedHistory(), context, at), Kind.USER, hidden)
        found = find_candidates(knowledge.tables, knowledge.settings, question)
        gains.append(_gain(found.votes[:, columns].sum(axis=1), found.items == target))
    return gains


def _gain(votes: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    if not right.any():
        return 0.0
    better = int((votes > votes[right]).sum())
    return 1.0 / float(np.log2(better + 2)) if better < _AT else 0.0
