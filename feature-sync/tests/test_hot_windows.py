"""Trending counts: exact sums of what lies in a window, by calls that stay short, whatever is lost or killed."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from contracts import redis_keys
from contracts.events import BehaviorEvent
from contracts.redis_keys import Timeframe
from feature_sync.hot.counts import HotCounts
from feature_sync.hot.refresh import HotWindows
from feature_sync.hot.scripts import SLICE_SHARDS
from testkit.redis_server import RedisServer

pytestmark = pytest.mark.anyio
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp()
SECONDS: dict[Timeframe, int] = {"1h": 3600, "24h": 86_400}


class Case:
    """The counts and the windows of one worker, on a clock of their own, and all events that it has counted."""

    def __init__(self, redis: AsyncRedis, plain: Redis, name: str = "e") -> None:
        self.now = START
        self.name = name
        self.plain = plain
        self.counts = HotCounts(redis, lambda: self.now)
        self.windows = HotWindows(redis, lambda: self.now)
        self.sent: list[BehaviorEvent] = []

    async def count(self, datasets: Sequence[int], **values: Any) -> list[BehaviorEvent]:
        ts = datetime.fromtimestamp(self.now, UTC)
        events = [
            BehaviorEvent.model_validate(
                {
                    "event_id": f"{self.name}-{len(self.sent) + n}",
                    "type": "view",
                    "user_id": 1,
                    "dataset_id": id_,
                    "ts": ts,
                }
                | values
            )
            for n, id_ in enumerate(datasets)
        ]
        self.sent += events
        await self.counts.count(events)
        return events

    async def settle(self) -> None:
        for _ in range(100):
            await self.windows.refresh()

    def seen(self, window: Timeframe) -> dict[int, float]:
        found: Any = self.plain.zrange(redis_keys.hot(window), 0, -1, withscores=True)
        return {int(member): score for member, score in found}

    def epoch(self, window: Timeframe) -> int:
        return int(self.plain.hget(redis_keys.hot_part(window, "state"), "epoch"))  # type: ignore[arg-type]

    def expected(self, window: Timeframe) -> dict[int, float]:
        since = self.now - SECONDS[window]
        return dict(Counter(event.dataset_id for event in self.sent if event.ts.timestamp() >= since))

    def check_exact(self) -> None:
        for window in SECONDS:
            assert self.seen(window) == self.expected(window)


@pytest.fixture
def case(redis: AsyncRedis, plain: Redis) -> Case:
    return Case(redis, plain)


async def test_a_window_differs_by_less_than_a_hundredth_from_what_lies_in_it(case: Case) -> None:
    chance = random.Random(42)
    for step in range(400):
        await case.count([chance.randrange(1, 30) for _ in range(20)])
        case.now += 37.0 if step < 300 else 600.0
        await case.windows.refresh()
        for window, seconds in SECONDS.items():
            counted, true = sum(case.seen(window).values()), sum(case.expected(window).values())
            # What arrives within a hundredth of the window, and at least the events of one step.
            assert abs(counted - true) <= max(0.01 * seconds / (37.0 if step < 300 else 600.0), 1) * 20
    case.now += 90_000
    await case.settle()
    assert (case.seen("1h"), case.seen("24h")) == ({}, {})
    assert case.plain.keys("{hot:*:slices:*") == []


async def test_an_event_counts_once_however_often_and_in_whatever_order_it_is_delivered(case: Case) -> None:
    events = await case.count(range(1, 101))
    chance = random.Random(1)
    for _ in range(5):
        chance.shuffle(events)
        await case.counts.count(events[:60])
    await case.settle()
    case.check_exact()


async def test_an_expired_event_is_not_counted_and_a_late_one_only_where_it_lies(case: Case) -> None:
    await case.count([1], ts=datetime.fromtimestamp(START - 2 * 3600, UTC))
    await case.count([2], ts=datetime.fromtimestamp(START - 2 * 86_400, UTC))
    await case.settle()
    assert (case.seen("1h"), case.seen("24h")) == ({}, {1: 1.0})


async def test_the_number_of_datasets_does_not_make_a_call_longer(case: Case) -> None:
    few = await _microseconds_per_call(case, 400)
    many = await _microseconds_per_call(case, 40_000)
    assert many < 4 * few


async def _microseconds_per_call(case: Case, datasets: int) -> float:
    await case.count(range(1, datasets + 1))
    case.plain.config_resetstat()
    await case.count([*range(1, 101)])
    case.now += 3700
    for _ in range(10):
        await case.windows.refresh()
    stats: Any = case.plain.info("commandstats")
    case.plain.flushall()
    return float(stats["cmdstat_evalsha"]["usec_per_call"])


async def test_several_workers_count_and_slide_together(redis: AsyncRedis, plain: Redis) -> None:
    cases = [Case(redis, plain, f"worker-{number}") for number in range(3)]
    for _ in range(6):
        await asyncio.gather(*(each.count(range(1, 60)) for each in cases))
        await asyncio.gather(*(each.windows.refresh() for each in cases))
        for each in cases:
            each.now += 1200
    await asyncio.gather(*(each.settle() for each in cases))
    # Three of the six steps lie in the last hour.
    assert cases[0].seen("1h") == dict.fromkeys(range(1, 60), 9.0)
    assert cases[0].seen("24h") == dict.fromkeys(range(1, 60), 18.0)


@pytest.mark.parametrize("other_type", [False, True])
async def test_a_lost_sorted_set_is_built_again_from_the_slices(case: Case, other_type: bool) -> None:
    await case.count(range(1, 300))
    await case.settle()
    for window in SECONDS:
        case.plain.delete(redis_keys.hot(window))
        if other_type:
            case.plain.set(redis_keys.hot(window), "foreign")
    await case.count(range(200, 400))
    await case.settle()
    case.check_exact()
    case.now += 4000
    await case.settle()
    case.check_exact()


async def test_a_window_is_readable_while_it_is_built_again(case: Case) -> None:
    await case.count(range(1, 300))
    await case.settle()
    before = case.seen("24h")
    case.plain.zadd(f"{{hot:24h}}:{int(case.now) // 900}", {"7": 1.0})
    await case.windows.refresh()
    assert set(before) <= set(case.seen("24h"))


async def test_a_lost_slice_leaves_no_count_behind(case: Case) -> None:
    await case.count(range(1, 100))
    case.now += 1000
    await case.count(range(50, 150))
    await case.settle()
    lost = int((case.now - 1000) // 30)
    for shard in range(SLICE_SHARDS):
        case.plain.delete(f"{{hot:1h}}:{case.epoch('1h')}:{lost}:{shard}")
    case.now += 3000
    await case.settle()
    assert case.seen("1h") == dict.fromkeys(range(50, 150), 1.0)


@pytest.mark.parametrize("name", ["state", "next", "slices:{epoch}", "{epoch}:{slice}:7"])
async def test_a_value_of_another_type_under_a_key_of_a_window_is_replaced(case: Case, name: str) -> None:
    await case.count([7])
    for window, seconds in (("1h", 30), ("24h", 600)):
        epoch = case.epoch(window)  # type: ignore[arg-type]
        key = f"{{hot:{window}}}:" + name.format(epoch=epoch, slice=int(START) // seconds)
        case.plain.set(key, "foreign")
    await case.count(range(1, 200))
    await case.settle()
    assert {len(case.seen("1h")), len(case.seen("24h"))} == {199}


async def test_slices_of_the_release_before_are_taken_over_and_its_events_count_once(case: Case, plain: Redis) -> None:
    for window, seconds in (("1h", 60), ("24h", 900)):
        for minutes, datasets in ((1, range(1, 200)), (50, range(100, 300)), (70, range(1, 10 * (window == "24h")))):
            bucket = int(START - minutes * 60) // seconds
            for dataset in datasets:
                plain.zincrby(f"{{hot:{window}}}:{bucket}", 1.0, str(dataset))
        plain.zadd(f"hot:{window}", {"1": 1.0})
        plain.set(f"applied:{{hot:{window}}}:e-0", "", ex=100)
    await case.count([5, 6])
    await case.settle()
    in_1h = Counter([*range(1, 200), *range(100, 300), 6])
    assert case.seen("1h") == in_1h
    assert case.seen("24h") == in_1h + Counter(range(1, 10))
    assert [key for key in plain.keys("{hot:*") if plain.type(key) == b"zset"] == []
    case.now += 86_400 + 4000
    await case.settle()
    assert (case.seen("1h"), case.seen("24h")) == ({}, {})


async def test_after_a_kill_of_redis_and_of_the_worker_at_any_moment_the_sums_are_exact(
    redis: AsyncRedis, plain: Redis, redis_server: RedisServer
) -> None:
    case = Case(redis, plain)
    await case.count(range(1, 3000))
    case.now += 1800
    await case.count(range(1000, 2000))
    case.now += 2000
    plain.delete("hot:24h")
    chance = random.Random(3)
    for number in range(6):
        rounds = asyncio.create_task(case.settle())
        repeated = asyncio.create_task(case.counts.count(case.sent[number * 500 : number * 500 + 700]))
        await asyncio.sleep(chance.uniform(0, 0.05))
        redis_server.kill()
        redis_server.restart()
        await asyncio.gather(rounds, repeated, return_exceptions=True)
    await case.counts.count(case.sent)
    await case.settle()
    case.check_exact()


async def test_all_keys_but_the_small_records_of_a_window_expire(case: Case) -> None:
    await case.count(range(1, 200))
    await case.count(range(1, 50))
    await case.settle()
    lasting = {key for key in case.plain.keys("*") if case.plain.ttl(key) == -1}
    assert lasting == {
        name.encode()
        for window in SECONDS
        for name in (f"{{hot:{window}}}:state", f"{{hot:{window}}}:slices:{case.epoch(window)}")
    }
