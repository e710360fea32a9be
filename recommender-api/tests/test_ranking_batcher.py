"""Questions that are asked at the same time are ranked one right after another, and none answers for another."""

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
from recommender_api.answers.ranking_batcher import MOST, RankingBatcher
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


async def test_other_work_goes_on_between_so_many_questions() -> None:
    batcher, ranked = RankingBatcher(), list[int]()

    def rank(number: int) -> Callable[[], FusedResult]:
        def note() -> FusedResult:
            ranked.append(number)
            return DONE

        return note

    asked = [batcher.rank(rank(number)) for number in range(2 * MOST + 1)]
    turns = []
    while not asked[-1].done():
        await asyncio.sleep(0)
        turns.append(len(ranked))
    assert ranked == list(range(len(asked)))
    assert [after - before for before, after in zip([0, *turns], turns, strict=False)] == [MOST, MOST, 1]


async def test_a_question_that_was_given_up_is_not_ranked() -> None:
    batcher = RankingBatcher()
    given_up, waiting = batcher.rank(lambda: pytest.fail("nobody waits for it")), batcher.rank(lambda: DONE)
    given_up.cancel()
    assert await waiting == DONE


async def test_waiting_for_the_others_is_no_work_on_a_question(model: LoadedModel) -> None:
    redis = MemoryStore()
    store = GuardedStore(redis, Breaker(redis.probe, on_close=lambda: None), Address("cache.example.com", 6379, 0))
    metrics = Metrics()
    withdrawn = WithdrawnWatch(store, WithdrawnFile(Path("unused")))
    errors = FastPathErrors(metrics.fast_path_failed)
    path = RankedPath(store, SnapshotWatch(store), withdrawn, metrics.stages, errors)
    budgets = [Budget(time.perf_counter, 60) for _ in range(MOST)]
    questions = [Query(Endpoint.SIMILAR, 10, dataset_id=101 + number) for number in range(MOST)]
    arm = Arm("ranker", model)
    await asyncio.gather(*(path.answer(query, arm, budget) for query, budget in zip(questions, budgets, strict=True)))
    assert all(0 < budget.worked < budget.spent for budget in budgets)
