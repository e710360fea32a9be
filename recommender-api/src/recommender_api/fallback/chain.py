"""Fallback levels: 1 the last good answer in Redis, 2 precomputed lists of the bundle, 3 its static popular list."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import monitoring
from contracts import redis_keys
from ranking.engine import Keep
from recommender_api.answers.errors import DegradeReason
from recommender_api.answers.items import answer_of, unexplained
from recommender_api.answers.main_path import served_by
from recommender_api.answers.query import Endpoint, Query
from recommender_api.answers.stored import MalformedAnswerError, StoredAnswer
from recommender_api.models.serving import Arm
from recommender_api.redis_store import GuardedStore, StoreError, StoreUnavailableError
from recommender_api.withdrawal import WithdrawnWatch

# Enough to load the code, and the pages of the lists, into memory.
_PREPARED_ANCHORS = 64
_PREPARED_ITEMS = 50


@dataclass(frozen=True, slots=True)
class FallbackAnswer:
    """An answer and the level that gave it."""

    answer: StoredAnswer
    level: int


class FallbackChain:
    """Always answers. The answer is empty only if the filters allow nothing: they apply at every level."""

    def __init__(self, store: GuardedStore, withdrawn: WithdrawnWatch) -> None:
        self._store = store
        self._withdrawn = withdrawn

    async def answer(self, query: Query, arm: Arm, reason: DegradeReason, cause: Exception) -> FallbackAnswer:
        """Return the answer of the first level that has one; `cause` is the failure of the main path."""
        last = await self._last_good(query, reason, cause)
        if last is not None:
            return FallbackAnswer(last, 1)
        keep = self._withdrawn.current.keep(
            arm.model.engine.contents.catalogue, query.filters.over(arm.model.engine.contents.catalogue)
        )
        precomputed = _precomputed(query, arm, keep)
        if precomputed is not None and precomputed.ids:
            monitoring.breadcrumb("Using precomputed fallback", category="fallback", count=len(precomputed.ids))
            monitoring.report("fallback.precomputed_used", endpoint=query.endpoint.value, degrade_reason=reason)
            return FallbackAnswer(precomputed, 2)
        popular = _popular(query, arm, keep)
        monitoring.breadcrumb(
            "Using static popular fallback", category="fallback", level="warning", count=len(popular.ids)
        )
        monitoring.report(
            "fallback.static_popular_used",
            endpoint=query.endpoint.value,
            degrade_reason=reason,
            static_popular_count=len(popular.ids),
        )
        return FallbackAnswer(popular, 3)

    def prepare(self, arm: Arm) -> None:
        """Use the levels that don't need Redis once, so that their code and pages are loaded before Redis fails."""
        catalogue = arm.model.engine.contents.catalogue
        anchors = catalogue.ids[:: max(len(catalogue) // _PREPARED_ANCHORS, 1)][:_PREPARED_ANCHORS].tolist()
        queries = [Query(Endpoint.TRENDING, _PREPARED_ITEMS, timeframe=timeframe) for timeframe in ("1h", "24h")]
        queries += [Query(Endpoint.SIMILAR, _PREPARED_ITEMS, dataset_id=int(anchor)) for anchor in anchors]
        for query in queries:
            # A damaged list costs its level when it is needed. It must not prevent the model from being loaded.
            with suppress(Exception):
                self._prepare_answer(query, arm)

    def _prepare_answer(self, query: Query, arm: Arm) -> None:
        catalogue = arm.model.engine.contents.catalogue
        keep = self._withdrawn.current.keep(catalogue, query.filters.over(catalogue))
        _precomputed(query, arm, keep)
        _popular(query, arm, keep)

    async def _last_good(self, query: Query, reason: DegradeReason, cause: Exception) -> StoredAnswer | None:
        if isinstance(cause, StoreUnavailableError):
            # Redis has just been called and failed; another call would only wait again.
            self._unreadable(query, reason, cause)
            return None
        digest = query.digest()
        # The second one is the key of the release before: in an upgrade, its answers are the last good ones.
        keys = list(dict.fromkeys([redis_keys.last_good(digest, query.user_id), redis_keys.last_good(digest)]))
        key = keys[0]
        try:
            found = zip(keys, await self._store.read(keys), strict=True)
            key, data = next(((key, data) for key, data in found if data is not None), (key, None))
            return None if data is None else self._remove_withdrawn(StoredAnswer.unpack(data))
        except StoreError as error:
            self._unreadable(query, reason, error)
        except MalformedAnswerError as error:
            self._store.undecodable(error, key)
            self._unreadable(query, reason, error)
        return None

    def _remove_withdrawn(self, last: StoredAnswer) -> StoredAnswer | None:
        """Return the part of the last good answer that may still be shown, None if nothing is left."""
        withdrawn = self._withdrawn.current
        if not withdrawn.is_in(last.ids):
            return last
        rest = last.without(withdrawn.ids)
        return rest if rest.ids else None

    def _unreadable(self, query: Query, reason: DegradeReason, error: Exception) -> None:
        monitoring.breadcrumb("Redis fallback failed", category="fallback", level="warning", error=str(error))
        monitoring.report("fallback.redis_failed", error=error, endpoint=query.endpoint.value, degrade_reason=reason)


def _precomputed(query: Query, arm: Arm, keep: Keep | None) -> StoredAnswer | None:
    contents = arm.model.engine.contents
    if query.endpoint is Endpoint.TRENDING:
        listed = np.array(contents.trending.get(query.timeframe or "24h", []), np.int32)
        return _take_head(query, arm, keep, listed, _descending(len(listed)), reason="trending")
    if query.dataset_id is None:
        return None
    anchor = contents.catalogue.position(query.dataset_id)
    row = contents.precomputed.items[anchor]
    return _take_head(query, arm, keep, row, contents.precomputed.scores[anchor].tolist(), reason="precomputed")


def _popular(query: Query, arm: Arm, keep: Keep | None) -> StoredAnswer:
    popular = arm.model.engine.contents.recall.popular
    return _take_head(query, arm, keep, popular.items, popular.scores.tolist(), reason="popular")


def _take_head(
    query: Query,
    arm: Arm,
    keep: Keep | None,
    positions: NDArray[np.int32],
    scores: Sequence[float],
    *,
    reason: str,
) -> StoredAnswer:
    """Return the first items of a list (-1 pads) that `keep` allows, by score; the list is in the order of choice."""
    catalogue = arm.model.engine.contents.catalogue
    allowed = positions >= 0
    if query.dataset_id is not None:
        allowed &= positions != catalogue.position(query.dataset_id)
    if keep is not None:
        allowed &= keep(positions)
    rows = np.flatnonzero(allowed)[: query.limit].tolist()
    rows.sort(key=lambda row: (-scores[row], positions[row]))
    return answer_of(
        arm.model,
        served_by(arm),
        positions[rows],
        [scores[row] for row in rows],
        [unexplained((reason,))] * len(rows),
    )


def _descending(count: int) -> list[float]:
    return [(count - number) / count for number in range(count)]
