"""The main path: how a query is answered while everything works."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

import monitoring
from contracts import redis_keys
from contracts.features import CHANNELS, FEATURES, SCORED_CHANNELS
from contracts.user_blob import PackedHistory
from ranking.engine import Best, Engine, FusedResult, Ranked, RankingQuery
from ranking.recall import Candidates
from recommender_api.answers.budget import Budget, Stage, StageHistogram
from recommender_api.answers.errors import NoCandidatesError, RankFailedError, RecallFailedError
from recommender_api.answers.exploration import Draw, Exploration
from recommender_api.answers.fast_path_errors import FastPathErrors
from recommender_api.answers.items import answer_of, answer_of_best, explained
from recommender_api.answers.query import Query
from recommender_api.answers.ranking_batcher import RankingBatcher
from recommender_api.answers.stored import MalformedAnswerError, Served, StoredAnswer
from recommender_api.features import SnapshotWatch, UserBlobs
from recommender_api.models.serving import Arm
from recommender_api.redis_store import GuardedStore
from recommender_api.served_features import NOBODY, ServedRanking, UserSample
from recommender_api.withdrawal import Withdrawn, WithdrawnWatch

_log = logging.getLogger(__name__)
_FEATURE_NAMES = [feature.name for feature in FEATURES]
# The votes of a channel that came after the first release are its score; the popular list of 30 days has no column.
_CHANNEL_SCORES = {
    channel: _FEATURE_NAMES.index(name)
    for channel in CHANNELS
    for name in (f"score_{channel}" if channel in SCORED_CHANNELS else f"vote_{channel}",)
    if name in _FEATURE_NAMES
}


class MainPathResult(NamedTuple):
    """An answer of the main path. A `fresh` one should be cached, also under `result_key` if there is one.

    An answer with a `propensity` was drawn: each of its datasets had this probability at its place. It is for this user
    and hour alone, and never cached. `ranking` is what another answer was ranked with, if its user is in the sample.
    """

    answer: StoredAnswer
    fresh: bool = True
    result_key: str | None = None
    propensity: float | None = None
    ranking: ServedRanking | None = None


class MainPath(Protocol):
    """Answers one kind of query."""

    async def answer(self, query: Query, arm: Arm, budget: Budget) -> MainPathResult:
        """Return the answer; raises `MainPathError` or `StoreError`."""
        ...


# The datasets of an answer, and the ends of their items' JSON; None if no explanation was asked for.
_RankedItems = tuple[Best, list[bytes] | None]


class _RankingRequest(NamedTuple):
    """A query, the arm that answers it, and the state of its user."""

    query: Query
    engine: Engine
    features: NDArray[np.float32] | None
    long_term: PackedHistory
    live: PackedHistory
    withdrawn: Withdrawn
    moment: float

    @property
    def at(self) -> int:
        """The time of the query."""
        return int(self.moment)

    @property
    def anchor(self) -> int | None:
        """The catalogue position of the query's dataset."""
        dataset_id = self.query.dataset_id
        return None if dataset_id is None else self.engine.contents.catalogue.position(dataset_id)

    def rank_fused(self) -> FusedResult | None:
        """Rank in one compiled call; None if the query needs the separate steps."""
        return self.engine.rank_fused(
            self.features,
            self.long_term,
            self.live,
            anchor=self.anchor,
            limit=self.query.limit,
            at=self.at,
            hidden=self.withdrawn.hidden(self.engine.contents.catalogue),
        )

    def served(self, user_id: int, arm: Arm, snapshot: str | None, done: FusedResult) -> ServedRanking:
        """Return what the answer to a user was ranked with; `snapshot` is the version that was read."""
        query = self.query
        hidden = self.withdrawn.hidden(self.engine.contents.catalogue)
        return ServedRanking(
            user_id=user_id,
            moment=self.moment,
            endpoint=query.endpoint.value,
            dataset_id=query.dataset_id,
            limit=query.limit,
            model_version=arm.version,
            bundle_sha256=arm.model.deployment.sha256,
            snapshot=snapshot,
            live=self.live.data,
            hidden=hidden,
            result=done,
        )


def served_by(arm: Arm) -> Served:
    """Return the members of an answer that name its model."""
    return Served(arm.name, arm.version, arm.variant, arm.experiment)


class RankedPath:
    """Reads Redis once. If that finds no valid cached result, recalls and ranks from the bundle in memory."""

    def __init__(
        self,
        store: GuardedStore,
        snapshots: SnapshotWatch,
        withdrawn: WithdrawnWatch,
        stages: StageHistogram,
        errors: FastPathErrors,
        *,
        exploration: Exploration | None = None,
        sample: UserSample = NOBODY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sample = sample
        self._store = store
        self._snapshots = snapshots
        self._withdrawn = withdrawn
        self._stages = stages
        self._errors = errors
        self._exploration = exploration
        self._clock = clock
        self._batcher = RankingBatcher()

    async def answer(self, query: Query, arm: Arm, budget: Budget) -> MainPathResult:
        """See `MainPath`."""
        # The same read fetches the user's live sequence, so the key can't contain it. The cached answer contains it
        # instead.
        served = served_by(arm)
        result_key = redis_keys.result(f"{query.digest()}-{served.digest()}", query.user_id)
        snapshot = None if query.user_id is None else self._snapshots.active
        blobs = None if query.user_id is None else UserBlobs(query.user_id, snapshot, self._store.undecodable)
        with monitoring.span(Stage.READ):
            cached, *values = await self._store.read([result_key] if blobs is None else [result_key, *blobs.keys])
        self._stages.observe(Stage.READ, budget.end_stage())

        sequence, live = (0, PackedHistory()) if blobs is None else blobs.live(values)
        version = None if snapshot is None else snapshot.version
        withdrawn = self._withdrawn.current
        now = self._clock()
        draw = None if self._exploration is None else self._exploration.draw(query, int(now))
        if draw is not None:
            query = draw.widen(query)
        elif cached is not None:
            kept = self._cached(cached, result_key)
            is_current = kept is not None and kept.sequence == sequence and kept.snapshot == version
            if kept is not None and is_current and not withdrawn.is_in(kept.ids):
                return MainPathResult(kept, fresh=False)

        known = (None, PackedHistory()) if blobs is None else blobs.long_term(values, arm.model.engine)
        budget.check(Stage.READ)
        request = _RankingRequest(query, arm.model.engine, *known, live, withdrawn, now)
        done, error = await self._rank_fused(request, budget)
        found: _RankedItems | None = None if done is None else (done.best, None)
        if found is None:
            question, candidates = self._recalled(request, budget)
            if not len(candidates.items):
                return MainPathResult(_nothing(request.engine, question, served), fresh=False)
            found = self._ranked(request, question, candidates, budget)
        if error is not None:
            # Step by step it was not raised again.
            self._errors.report("rank", error)
        budget.check(Stage.RANK)
        best, ends = found if draw is None else _draw_rows(draw, *found)
        if ends is None:
            answer = answer_of_best(arm.model, served, best, sequence=sequence, snapshot=version)
        else:
            answer = answer_of(arm.model, served, best.items, best.scores, ends, sequence=sequence, snapshot=version)
        if draw is not None:
            return MainPathResult(answer, fresh=False, propensity=1 / len(found[0].items))
        ranking = None
        if done is not None and query.user_id is not None and self._sample.has(query.user_id):
            ranking = request.served(query.user_id, arm, version, done)
        return MainPathResult(answer, result_key=result_key, ranking=ranking)

    async def _rank_fused(
        self, request: _RankingRequest, budget: Budget
    ) -> tuple[FusedResult | None, Exception | None]:
        """Return the result of `rank_fused`, which suits most queries; separate calls cost as much as some steps.

        If there is none, return None and the exception.
        """
        query = request.query
        if query.explain or not query.filters.refuse_nothing or monitoring.is_traced():
            return None, None
        try:
            done = await self._batcher.rank(request.rank_fused)
        except Exception as error:  # noqa: BLE001 - a fault in the model must cost no answer
            return None, error
        took = budget.end_stage()
        if done is None:
            return None, None
        budget.waited = took - done.recall_seconds - done.rank_seconds
        self._stages.observe(Stage.RECALL, done.recall_seconds)
        self._stages.observe(Stage.RANK, done.rank_seconds)
        return done, None

    def _recalled(self, request: _RankingRequest, budget: Budget) -> tuple[RankingQuery, Candidates]:
        query, engine, features, long_term, live, withdrawn, _ = request
        try:
            keep = withdrawn.keep(engine.contents.catalogue, query.filters.over(engine.contents.catalogue))
            with monitoring.span(Stage.RECALL):
                question = RankingQuery(request.anchor, engine.user(features, long_term, live, request.at), keep)
                candidates = engine.recall(question, at_least=query.limit)
        except Exception as error:  # a fault in the model must cost no answer
            raise RecallFailedError(str(error)) from error
        self._stages.observe(Stage.RECALL, budget.end_stage())
        budget.check(Stage.RECALL)
        return question, candidates

    def _ranked(
        self, request: _RankingRequest, question: RankingQuery, candidates: Candidates, budget: Budget
    ) -> _RankedItems:
        try:
            with monitoring.span(Stage.RANK):
                ranked = request.engine.rank(question, candidates, request.query.limit)
            ends = _explained(request.engine, ranked) if request.query.explain else None
        except Exception as error:  # a fault in the model must cost no answer
            raise RankFailedError(str(error)) from error
        self._stages.observe(Stage.RANK, budget.end_stage())
        return ranked.best, ends

    def _cached(self, data: bytes, key: str) -> StoredAnswer | None:
        try:
            return StoredAnswer.unpack(data)
        except MalformedAnswerError as error:
            self._store.undecodable(error, key)
            return None


def _draw_rows(draw: Draw, best: Best, ends: list[bytes] | None) -> _RankedItems:
    """Return the candidates that are shown instead of the best, in their order."""
    rows = draw.choose(len(best.items))
    drawn = Best(best.items[rows], best.codes[rows], best.scores[rows])
    return drawn, None if ends is None else [ends[row] for row in rows]


def _nothing(engine: Engine, question: RankingQuery, served: Served) -> StoredAnswer:
    """Return an empty answer if no dataset passes the filters; raise `NoCandidatesError` otherwise."""
    everything = np.arange(len(engine.contents.catalogue), dtype=np.int32)
    if question.keep is not None and not question.keep(everything[everything != question.anchor]).any():
        return StoredAnswer(served, [], b"[]")
    raise NoCandidatesError("the user has seen every dataset that may be shown")


def _explained(engine: Engine, ranked: Ranked) -> list[bytes]:
    """Return the ends of the items' JSON with an explanation: SHAP values by feature, and scores by channel."""
    matrix = ranked.matrix
    return [
        explained(
            reasons,
            {
                "base": round(float(row[-1]), 6),
                "contributions": {
                    name: round(float(value), 6)
                    for name, value in zip(engine.feature_names, row[:-1], strict=True)
                    if value
                },
                "channels": {
                    channel: round(float(features[_CHANNEL_SCORES[channel]]), 6)
                    for channel in reasons
                    if channel in _CHANNEL_SCORES and features[_CHANNEL_SCORES[channel]]
                },
            },
        )
        for reasons, row, features in zip(ranked.channels, engine.ranker.contributions(matrix), matrix, strict=True)
    ]
