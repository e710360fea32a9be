"""The main path of a question: what answers when nothing is broken."""

import logging
from typing import NamedTuple, Protocol

import numpy as np

import monitoring
from contracts import redis_keys
from contracts.features import CHANNELS, FEATURES
from contracts.user_blob import PackedHistory
from ranking.engine import Engine, Question, Ranked
from recommender_api.features import SnapshotWatch, UserBlobs
from recommender_api.metrics import Metrics
from recommender_api.models import Arm
from recommender_api.recommendations.budget import Budget
from recommender_api.recommendations.errors import NoCandidatesError, RankFailedError, RecallFailedError
from recommender_api.recommendations.items import BY_CHANNELS, answer_of, explained
from recommender_api.recommendations.query import Query
from recommender_api.recommendations.stored import MalformedAnswerError, Served, StoredAnswer
from recommender_api.redis_store import GuardedStore

_log = logging.getLogger(__name__)
_FEATURE_NAMES = [feature.name for feature in FEATURES]
_CHANNEL_SCORES = [_FEATURE_NAMES.index(f"score_{channel}") for channel in CHANNELS]


class Answered(NamedTuple):
    """An answer of the main path; a `fresh` one is worth keeping, under `result_key` too if there is one."""

    answer: StoredAnswer
    fresh: bool = True
    result_key: str | None = None


class MainPath(Protocol):
    """Answers one kind of question."""

    async def answer(self, query: Query, arm: Arm, budget: Budget) -> Answered:
        """Return the answer; raises `MainPathError` or `StoreError`."""
        ...


def served_by(arm: Arm) -> Served:
    """Return what an answer says of the model that gave it."""
    return Served(arm.name, arm.version, arm.variant, arm.experiment)


class RankedPath:
    """One read from Redis, then recall and rank from the bundle in memory; or the cached result that the read found."""

    def __init__(self, store: GuardedStore, snapshots: SnapshotWatch, metrics: Metrics) -> None:
        self._store = store
        self._snapshots = snapshots
        self._metrics = metrics

    async def answer(self, query: Query, arm: Arm, budget: Budget) -> Answered:
        """See `MainPath`."""
        # The user's live sequence is itself read here, so the key can't contain it: the stored answer does.
        result_key = redis_keys.result(query.digest(arm.name, arm.version, arm.variant, arm.experiment))
        snapshot = None if query.user_id is None else self._snapshots.active
        blobs = None if query.user_id is None else UserBlobs(query.user_id, snapshot, self._store.undecodable)
        with monitoring.span("cache"):
            cached, *values = await self._store.read([result_key] if blobs is None else [result_key, *blobs.keys])
        self._metrics.stages.observe("read", budget.end_stage())

        sequence, live = (0, PackedHistory()) if blobs is None else blobs.live(values)
        version = None if snapshot is None else snapshot.version
        if cached is not None:
            found = self._cached(cached, result_key)
            if found is not None and found.sequence == sequence and found.snapshot == version:
                return Answered(found, fresh=False)

        features, history = (None, PackedHistory()) if blobs is None else blobs.long_term(values)
        engine = arm.model.engine
        budget.check("reading Redis")
        try:
            catalogue = engine.contents.catalogue
            anchor = None if query.dataset_id is None else catalogue.position(query.dataset_id)
            keep = query.filters.over(catalogue)
            with monitoring.span("recall"):
                question, candidates = engine.recall_for(
                    features, history, live, anchor=anchor, keep=keep, at_least=query.limit
                )
        except Exception as error:  # a fault in the model must cost no answer
            raise RecallFailedError(str(error)) from error
        self._metrics.stages.observe("recall", budget.end_stage())
        budget.check("recall")
        if not len(candidates.items):
            return Answered(_nothing(engine, question, served_by(arm)), fresh=False)

        try:
            with monitoring.span("rank"):
                ranked = engine.rank(question, candidates, query.limit)
            ends = (
                _explained(engine, ranked) if query.explain else [BY_CHANNELS[code] for code in ranked.codes.tolist()]
            )
        except Exception as error:  # a fault in the model must cost no answer
            raise RankFailedError(str(error)) from error
        self._metrics.stages.observe("rank", budget.end_stage())
        budget.check("ranking")
        answer = answer_of(
            arm.model,
            served_by(arm),
            ranked.items,
            ranked.scores,
            ends,
            sequence=sequence,
            snapshot=version,
        )
        return Answered(answer, result_key=result_key)

    def _cached(self, data: bytes, key: str) -> StoredAnswer | None:
        try:
            return StoredAnswer.unpack(data)
        except MalformedAnswerError as error:
            self._store.undecodable(error, key)
            return None


def _nothing(engine: Engine, question: Question, served: Served) -> StoredAnswer:
    """Return an empty answer if no dataset passes the filters; raises `NoCandidatesError` otherwise."""
    everything = np.arange(len(engine.contents.catalogue), dtype=np.int32)
    if question.keep is not None and not question.keep(everything[everything != question.anchor]).any():
        return StoredAnswer(served, [], b"[]")
    raise NoCandidatesError("the user has seen every dataset that may be shown")


def _explained(engine: Engine, ranked: Ranked) -> list[bytes]:
    """Return the items' ends with what each feature added to the raw score (SHAP), and the channels' scores."""
    matrix = ranked.matrix
    return [
        explained(
            reasons,
            {
                "base": round(float(row[-1]), 6),
                "contributions": {
                    name: round(float(value), 6) for name, value in zip(_FEATURE_NAMES, row[:-1], strict=True) if value
                },
                "channels": {
                    channel: round(float(features[column]), 6)
                    for channel, column in zip(CHANNELS, _CHANNEL_SCORES, strict=True)
                    if features[column]
                },
            },
        )
        for reasons, row, features in zip(ranked.channels, engine.ranker.contributions(matrix), matrix, strict=True)
    ]
