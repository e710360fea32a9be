"""Requests of one turn are ranked one right after another, and each gets its own result."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ranking.engine import Best, FusedResult
from recommender_api.answers.budget import Budget
from recommender_api.answers.fast_path_errors import FastPathErrors
from recommender_api.answers.main_path import RankedPath
from recommender_api.answers.query import Endpoint, Query
from recommender_api.answers.ranking_batcher import MAX_PER_TURN, RankingBatcher
from recommender_api.features import SnapshotWatch
from recommender_api.metrics import Metrics
from recommender_api.models.serving import Arm, LoadedModel
from recommender_api.redis_store import GuardedStore
from recommender_api.redis_store.breaker import Breaker
from recommender_api.redis_store.commands import Address
from recommender_api.redis_store.fake import MemoryStore
from recommender_api.withdrawal import WithdrawnFile, WithdrawnWatch

pytestmark = pytest.mark.anyio

DONE = FusedResult(Best(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32)), 0.0, 0.0)


def failing() -> FusedResult:
    raise ZeroDivisionError


async def test_each_gets_its_own_result_or_exception() -> None:
    batcher = RankingBatcher()
    ranks = (lambda: DONE, failing, lambda: None, lambda: DONE)
    first, second, *others = await asyncio.gather(*map(batcher.rank, ranks), return_exceptions=True)
    assert isinstance(second, ZeroDivisionError)
    assert [first, *others] == [DONE, None, DONE]


async def test_other_work_runs_between_full_turns() -> None:
    batcher, ranked = RankingBatcher(), list[int]()

    def rank(number: int) -> Callable[[], FusedResult]:
        def note() -> FusedResult:
            ranked.append(number)
            return DONE

        return note

    waiting = [batcher.rank(rank(number)) for number in range(2 * MAX_PER_TURN + 1)]
    turns = []
    while not waiting[-1].done():
        await asyncio.sleep(0)
        turns.append(len(ranked))
    assert ranked == list(range(len(waiting)))
    assert [after - before for before, after in zip([0, *turns], turns, strict=False)] == [
        MAX_PER_TURN,
        MAX_PER_TURN,
        1,
    ]


async def test_a_cancelled_request_is_not_ranked() -> None:
    batcher = RankingBatcher()
    cancelled, waiting = batcher.rank(lambda: pytest.fail("it was cancelled")), batcher.rank(lambda: DONE)
    cancelled.cancel()
    assert await waiting == DONE


async def test_waiting_for_other_requests_is_not_work_on_this_one(model: LoadedModel) -> None:
    redis = MemoryStore()
    store = GuardedStore(redis, Breaker(redis.probe, on_close=lambda: None), Address("cache.example.com", 6379, 0))
    metrics = Metrics()
    withdrawn = WithdrawnWatch(store, WithdrawnFile(Path("unused")))
    errors = FastPathErrors(metrics.fast_path_failed)
    path = RankedPath(store, SnapshotWatch(store), withdrawn, metrics.stages, errors)
    budgets = [Budget(time.perf_counter, 60) for _ in range(MAX_PER_TURN)]
    queries = [Query(Endpoint.SIMILAR, 10, dataset_id=101 + number) for number in range(MAX_PER_TURN)]
    arm = Arm("ranker", model)
    await asyncio.gather(*(path.answer(query, arm, budget) for query, budget in zip(queries, budgets, strict=True)))
    assert all(0 < budget.worked < budget.spent for budget in budgets)
