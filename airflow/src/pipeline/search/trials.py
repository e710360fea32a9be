"""What a trial is: a training on half of the users, and its nDCG@10 on queries of others.

A quarter of the users chooses among the trials, and the last quarter confirms the choice. All trials are asked the same
queries: those of the current configuration, with tables that contain none of their targets.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.config import PipelineConfig
from pipeline.errors import DataError
from pipeline.search.source import Source
from pipeline.train import TrainingPart, TrainSettings, training_queries, training_tables, with_chosen_weights
from pipeline.train.model import replay_parts
from pipeline.train.order import choose_order
from pipeline.train.queries import PastQueries, replay_queries
from pipeline.train.validation import CompleteQuery, ValidationQueries, gains_by
from ranking.ranker import Ranker
from ranking.recall import RecallSettings, RecallTables
from ranking.replay import Kind, Knowledge

_TRAINED, _CHOOSING, _CONFIRMING = (0, 1), (2,), (3,)
_QUARTERS = 4
# Of a quarter of the users: enough for a difference of 2 % of nDCG.
_MOST_ASKED = 4000
# On fewer, the best of the trials is the luckiest.
_LEAST_ASKED = 100
# The sections of the configuration that queries are replayed by.
_REPLAYED_BY = {"recall", "history", "queries", "features"}


class Trained(NamedTuple):
    """What a configuration has trained, and its nDCG@10 on each query that chooses, [q]."""

    ranker: Ranker
    recall: RecallSettings
    gains: NDArray[np.float64]


class _Replayed(NamedTuple):
    """The queries of a configuration; they don't depend on the ranker's settings."""

    recall: RecallSettings
    training: ValidationQueries
    choosing: list[CompleteQuery]


class Trials:
    """Trains and asks configurations on the same data; raises `DataError` if there are too few queries."""

    def __init__(self, source: Source, config: PipelineConfig, *, threads: int, seed: int) -> None:
        self._source, self._threads, self._seed = source, threads, seed
        records = source.records
        self._quarter = np.random.default_rng(seed).permutation(len(records.user_ids)) % _QUARTERS
        self._past = training_queries(records, self._settings(config))
        self._choosing, self._confirming = (self._sample(quarters) for quarters in (_CHOOSING, _CONFIRMING))
        least = min(sum(len(past.rows) for past in asked) for asked in (self._choosing, self._confirming))
        if least < _LEAST_ASKED:
            raise DataError(
                f"too few data to search: a quarter of the users has {least} queries, and it takes {_LEAST_ASKED} to "
                "tell two configurations apart; keep the current one, and search when there are more interactions"
            )
        self._tables = [self._tables_of(past) for past in self._past]
        self._replayed: tuple[str, _Replayed] | None = None

    @property
    def confirming_users(self) -> NDArray[np.int32]:
        """The user of each query that confirms, [q]."""
        users: NDArray[np.int32] = self._source.records.user[np.concatenate([past.rows for past in self._confirming])]
        return users

    def train(self, config: PipelineConfig) -> Trained:
        """Train as a run would, but on half of the users; raises `TrainingError`."""
        settings = self._settings(config)
        replayed = self._replay(config, settings)
        ranker = Ranker(choose_order(replayed.training, settings).text, settings.own_features)
        return Trained(ranker, replayed.recall, np.array(gains_by(ranker, replayed.choosing)))

    def confirm(self, trained: Trained) -> NDArray[np.float64]:
        """Return nDCG@10 of each query that confirms, [q]."""
        return np.array(gains_by(trained.ranker, self._complete(self._confirming, trained.recall)))

    def _settings(self, config: PipelineConfig) -> TrainSettings:
        settings = config.train_settings(threads=self._threads, seed=self._seed)
        return replace(settings, own_features=self._source.own_features)

    def _replay(self, config: PipelineConfig, settings: TrainSettings) -> _Replayed:
        """Return the queries of the configuration; those of the last one again if nothing but its ranker differs."""
        key = config.model_dump_json(include=_REPLAYED_BY)
        if self._replayed is None or self._replayed[0] != key:
            # First, because two of them may not fit into memory.
            self._replayed = None
            parts, _ = with_chosen_weights(self._source.records, self._parts(config, settings), settings)
            recall = parts[0].knowledge.settings
            training = replay_parts(self._source.records, parts, settings)
            self._replayed = key, _Replayed(recall, training, self._complete(self._choosing, recall))
        return self._replayed[1]

    def _parts(self, config: PipelineConfig, settings: TrainSettings) -> list[TrainingPart]:
        recall = config.recall_settings()
        queries = training_queries(self._source.records, settings)
        return [
            TrainingPart(
                self._of_quarters(past, _TRAINED),
                self._knowledge(tables if _are_same(past, known) else self._tables_of(past), recall),
            )
            for past, known, tables in zip(queries, self._past, self._tables, strict=True)
        ]

    def _complete(self, asked: Sequence[PastQueries], recall: RecallSettings) -> list[CompleteQuery]:
        records = self._source.records
        return [
            CompleteQuery.of(query, int(records.user[row]), int(self._quarter[records.user[row]]))
            for past, tables in zip(asked, self._tables, strict=True)
            for row, query in zip(
                past.rows, replay_queries(records, records, self._knowledge(tables, recall), past), strict=True
            )
        ]

    def _knowledge(self, tables: RecallTables, recall: RecallSettings) -> Knowledge:
        return Knowledge(tables, recall, self._source.items)

    def _tables_of(self, past: PastQueries) -> RecallTables:
        source = self._source
        return training_tables(source.records, past, source.content, self._seed, source.vector)

    def _sample(self, quarters: Sequence[int]) -> list[PastQueries]:
        """Return queries of some users, the same share of each part, all as `/recommend/user` gets them."""
        own = [self._of_quarters(past, quarters) for past in self._past]
        own = [_only(past, past.kinds == Kind.USER) for past in own]
        share = min(1.0, _MOST_ASKED / max(1, sum(len(past.rows) for past in own)))
        rng = np.random.default_rng(self._seed)
        return [_only(past, rng.permutation(len(past.rows)) < int(len(past.rows) * share)) for past in own]

    def _of_quarters(self, past: PastQueries, quarters: Sequence[int]) -> PastQueries:
        return _only(past, np.isin(self._quarter[self._source.records.user[past.rows]], quarters))


def _only(past: PastQueries, mask: NDArray[np.bool_]) -> PastQueries:
    return past._replace(rows=past.rows[mask], kinds=past.kinds[mask])


def _are_same(first: PastQueries, second: PastQueries) -> bool:
    """Return whether two parts have the same tables."""
    return first.known_until == second.known_until and np.array_equal(first.rows, second.rows)
