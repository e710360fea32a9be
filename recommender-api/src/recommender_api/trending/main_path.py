"""The main path of `/hot/trending`."""

import numpy as np
from numpy.typing import NDArray

from ranking.bundle import BundleContents
from ranking.engine import Keep
from recommender_api.answers.budget import Budget, Stage, StageHistogram
from recommender_api.answers.items import answer_of, explained, unexplained
from recommender_api.answers.main_path import MainPathResult, served_by
from recommender_api.answers.query import Query
from recommender_api.models.serving import Arm
from recommender_api.redis_store import GuardedStore
from recommender_api.trending.known_counts import KnownCounts
from recommender_api.withdrawal import WithdrawnWatch


class TrendingPath:
    """The live counts first; if there are few, the bundle's trending list and then the popular list fill the answer."""

    def __init__(self, store: GuardedStore, stages: StageHistogram, withdrawn: WithdrawnWatch) -> None:
        self._counts = KnownCounts(store)
        self._withdrawn = withdrawn
        self._stages = stages

    async def answer(self, query: Query, arm: Arm, budget: Budget) -> MainPathResult:
        """See `MainPath`."""
        timeframe = query.timeframe or "24h"
        contents = arm.model.engine.contents
        counts = await self._counts.read(timeframe, contents, budget)
        self._stages.observe(Stage.READ, budget.end_stage())
        budget.check(Stage.READ)
        keep = self._withdrawn.current.keep(contents.catalogue, query.filters.over(contents.catalogue))
        hot, live_scores = _hot(contents, counts, keep)
        hot, live_scores = hot[: query.limit], live_scores[: query.limit]
        rest = _rest(contents, timeframe, keep, hot)[: query.limit - len(hot)]
        positions = np.concatenate([hot, rest])
        scores = live_scores + _below(live_scores[-1] if live_scores else 1.0, len(rest))
        trending = {*hot.tolist(), *contents.trending.get(timeframe, [])}
        reasons = [("trending",) if position in trending else ("popular",) for position in positions.tolist()]
        if query.explain:
            ends = [
                explained(reason, {"base": 0.0, "contributions": {}, "channels": {reason[0]: score}})
                for reason, score in zip(reasons, scores, strict=True)
            ]
        else:
            ends = [unexplained(reason) for reason in reasons]
        return MainPathResult(answer_of(arm.model, served_by(arm), positions, scores, ends))


def _hot(
    contents: BundleContents, counts: list[tuple[int, float]], keep: Keep | None
) -> tuple[NDArray[np.int32], list[float]]:
    """Return the positions with live counts, and each count as a share of the highest one."""
    positions = contents.catalogue.positions(np.array([id_ for id_, _ in counts], np.int64))
    shares = np.array([count for _, count in counts]) / (counts[0][1] if counts else 1.0)
    if keep is not None and len(positions):
        kept = keep(positions)
        positions, shares = positions[kept], shares[kept]
    return positions, shares.tolist()


def _rest(contents: BundleContents, timeframe: str, keep: Keep | None, hot: NDArray[np.int32]) -> NDArray[np.int32]:
    listed = np.array(contents.trending.get(timeframe, []), np.int32)
    both = np.concatenate([listed, contents.recall.popular.items])
    _, first = np.unique(both, return_index=True)
    rest = both[np.sort(first)]
    rest = rest[~np.isin(rest, hot)]
    return rest if keep is None or not len(rest) else rest[keep(rest)]


def _below(ceiling: float, count: int) -> list[float]:
    """Return `count` descending scores below `ceiling`: the filling datasets have an order, but no count."""
    return [ceiling * (count - number) / (count + 1) for number in range(count)]
