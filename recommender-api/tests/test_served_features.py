"""For a sample of the users it is logged what their answers were ranked with, within bounds and after the answers."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
import redis

from contracts import redis_keys
from contracts.served_features import HEAD_FIELD, VECTORS_FIELD, ServedHead, ServedVectors
from contracts.user_blob import PackedHistory
from ranking.engine import Engine
from recommender_api.models.serving import LoadedModel
from recommender_api.redis_store import MemoryStore, StoreUnavailableError
from recommender_api.served_features import NOBODY, ServedFeatureLog, ServedRanking, UserSample
from recommender_api.served_features.log import MAX_WAITING, NO_READER_SECONDS
from testkit.running_app import RunningApp

pytestmark = pytest.mark.anyio
USER = 7


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_the_sample_is_a_share_of_the_users_and_always_the_same() -> None:
    for users in (range(1, 100_001), range(2**62, 2**62 + 100_000)):
        found = [user for user in users if UserSample(0.01).has(user)]
        assert len(found) == pytest.approx(1000, rel=0.15)
        assert found == [user for user in users if UserSample(0.01).has(user)]
        assert all(UserSample(0.1).has(user) for user in found), "a larger sample keeps the users of a smaller one"
    assert not NOBODY.has(USER)
    assert UserSample(1.0).has(USER)


def test_the_log_has_the_vectors_that_the_answer_was_ranked_with(
    start: Any, redis_client: redis.Redis, model: LoadedModel, until: Callable[..., float]
) -> None:
    redis_client.xgroup_create(redis_keys.SERVED_STREAM, "log", "0", mkstream=True)
    api: RunningApp = start(skew_sample_share=1.0)
    anchor = int(model.engine.contents.catalogue.ids[3])
    with httpx.Client(base_url=api.url) as client:
        path = f"/recommend/detail/{anchor}?user_id={USER}&limit=5"
        shown = client.get(path, headers={"X-Request-ID": "asked-1"}).json()
        until(lambda: redis_client.keys("res:*"))
        # A cached answer was logged before, and one to nobody is about no user.
        client.get(path)
        client.get(f"/similar/{anchor}")
        client.get(f"/recommend/user/{USER}")
    until(lambda: redis_client.xlen(redis_keys.SERVED_STREAM) == 2)
    (_, fields), _ = redis_client.xrange(redis_keys.SERVED_STREAM)  # type: ignore[misc]
    head = ServedHead.model_validate_json(fields[HEAD_FIELD.encode()])
    assert (head.user_id, head.request_id, head.dataset_id, head.max_items) == (USER, "asked-1", anchor, 5)
    assert (head.endpoint, head.snapshot) == ("/recommend/detail", None)
    vectors = ServedVectors.unpack(fields[VECTORS_FIELD.encode()])
    at = int(head.ts.timestamp())
    done = model.engine.rank_fused(None, PackedHistory(), PackedHistory(), anchor=3, limit=5, at=at)
    assert done is not None
    np.testing.assert_array_equal(vectors.items, done.items)
    assert vectors.matrix.tobytes() == done.considered.tobytes()
    assert vectors.scores.tolist() == pytest.approx([item["score"] for item in shown["items"]], abs=1e-6)
    catalogue = model.engine.contents.catalogue
    assert catalogue.ids[vectors.best].tolist() == [item["dataset_id"] for item in shown["items"]]


def test_without_a_sample_nothing_is_logged(start: Any, redis_client: redis.Redis, until: Callable[..., float]) -> None:
    redis_client.xgroup_create(redis_keys.SERVED_STREAM, "log", "0", mkstream=True)
    api: RunningApp = start(skew_sample_share=0.0)
    with httpx.Client(base_url=api.url) as client:
        assert client.get(f"/recommend/user/{USER}").status_code == 200
    until(lambda: redis_client.xlen(redis_keys.EVENT_STREAM) == 1)
    assert redis_client.xlen(redis_keys.SERVED_STREAM) == 0


def _ranking(engine: Engine) -> ServedRanking:
    done = engine.rank_fused(None, PackedHistory(), PackedHistory(), anchor=3, limit=5, at=1)
    assert done is not None
    nothing = np.empty(0, np.int32)
    return ServedRanking(USER, 1_800_000_000.5, "/recommend/user", None, 5, "1", "a" * 64, None, b"", nothing, done)


class _Bounded:
    """A log over a store in memory, on a clock that is set."""

    def __init__(self, engine: Engine, **bounds: int) -> None:
        self.now = 0.0
        self.dropped = 0
        self.store = MemoryStore()
        self.store.served = []
        self.log = ServedFeatureLog(self.store, self._count, clock=lambda: self.now, **bounds)
        self.ranking = _ranking(engine)

    def _count(self, number: int) -> None:
        self.dropped += number

    async def offer(self, number: int = 1) -> None:
        for _ in range(number):
            self.log.offer("req_1", self.ranking)
        async with asyncio.timeout(30):
            await self.log.step()


async def test_what_waits_for_redis_is_bounded_and_the_rest_is_counted(model: LoadedModel) -> None:
    case = _Bounded(model.engine)
    await case.offer(MAX_WAITING + 3)
    assert case.dropped == 3
    assert len(case.store.served or ()) == MAX_WAITING
    case.store.error = StoreUnavailableError("away", "ConnectionError")
    await case.offer(2)
    case.store.error = None
    case.store.served = None
    await case.offer(4)
    assert case.dropped == 3 + 2 + 4, "those that Redis did not take, and those that nobody reads"
    case.store.served = []
    case.now = NO_READER_SECONDS - 1
    case.log.offer("req_1", case.ranking)
    assert case.dropped == 10, "a reader is looked for every half minute"
    case.now = NO_READER_SECONDS
    await case.offer()
    assert (case.dropped, len(case.store.served)) == (10, 1)


async def test_the_bytes_of_an_hour_are_bounded(model: LoadedModel) -> None:
    case = _Bounded(model.engine, max_bytes_per_hour=1)
    await case.offer()
    case.now = 3599.0
    case.log.offer("req_1", case.ranking)
    assert (case.dropped, len(case.store.served or ())) == (1, 1)
    case.now = 3600.0
    await case.offer()
    assert (case.dropped, len(case.store.served or ())) == (1, 2)
