"""The circuit breaker, on a clock of its own."""

import asyncio

import pytest

import monitoring.testing
from recommender_api.redis_store import Breaker, StoreUnavailableError

pytestmark = pytest.mark.anyio


class Time:
    """A clock that moves only when the test says so, and a sleep that ends then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[float] = []
        self._wake = asyncio.Event()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._wake.wait()
        self._wake.clear()

    async def pass_interval(self) -> None:
        self._wake.set()
        for _ in range(5):
            await asyncio.sleep(0)


class Redis:
    """Up or down; counts probes."""

    def __init__(self) -> None:
        self.up = False
        self.probes = 0
        self.error: Exception = StoreUnavailableError("down", "ConnectionError")

    async def probe(self) -> None:
        self.probes += 1
        if not self.up:
            raise self.error


class Case:
    def __init__(self) -> None:
        self.time, self.redis = Time(), Redis()
        self.closed = 0
        self.breaker = Breaker(self.redis.probe, on_close=self._closed, clock=self.time.clock, sleep=self.time.sleep)

    def _closed(self) -> None:
        self.closed += 1

    def begin(self, calls: int, *, interval: float) -> list[float]:
        """Begin calls so many seconds from each other; return when each began."""
        began = []
        for _ in range(calls):
            began.append(self.breaker.begin())
            self.time.now += interval
        return began

    async def fail(self, times: int = 1) -> None:
        """Fail calls one after the other."""
        for _ in range(times):
            began = self.breaker.begin()
            self.time.now += 0.025
            self.breaker.record_failure(began, "TimeoutError")
        await asyncio.sleep(0)


async def test_it_opens_after_three_failures_in_a_row_and_not_before() -> None:
    case = Case()
    await case.fail(2)
    assert not case.breaker.is_open
    case.breaker.record_success()
    await case.fail(2)
    assert not case.breaker.is_open
    await case.fail()
    assert case.breaker.is_open
    assert case.breaker.cause == "TimeoutError"
    await case.breaker.close()


async def test_calls_that_were_late_at_the_same_time_count_as_one_failure() -> None:
    case = Case()
    began = case.begin(8, interval=0.0)
    case.time.now += 0.030
    for start in began:
        case.breaker.record_failure(start, "TimeoutError")
    assert not case.breaker.is_open


async def test_calls_that_began_at_different_times_count_each_though_they_wait_at_the_same_time() -> None:
    case = Case()
    began = case.begin(3, interval=0.011)
    case.time.now = 0.025
    case.breaker.record_failure(began[0], "TimeoutError")
    case.breaker.record_failure(began[1], "TimeoutError")
    assert not case.breaker.is_open
    case.breaker.record_failure(began[2], "TimeoutError")
    assert case.breaker.is_open
    await case.breaker.close()


async def test_calls_that_began_one_after_the_other_within_a_stall_do_not_open_it() -> None:
    case = Case()
    began = case.begin(10, interval=0.0019)
    case.time.now += 0.025
    for start in began:
        case.breaker.record_failure(start, "TimeoutError")
    assert not case.breaker.is_open


async def test_one_probe_runs_each_quarter_of_a_second_until_redis_is_back() -> None:
    case = Case()
    await case.fail(10)
    await case.time.pass_interval()
    await case.time.pass_interval()
    assert (case.redis.probes, case.breaker.is_open, case.closed) == (2, True, 0)
    assert set(case.time.asked) == {0.25}
    case.redis.up = True
    await case.time.pass_interval()
    assert (case.redis.probes, case.breaker.is_open, case.closed) == (3, False, 1)


async def test_after_closing_it_takes_three_failures_again() -> None:
    case = Case()
    await case.fail(3)
    case.redis.up = True
    await case.time.pass_interval()
    await case.fail(2)
    assert not case.breaker.is_open
    await case.fail()
    assert case.breaker.is_open
    await case.breaker.close()


async def test_an_unexpected_error_of_a_probe_is_reported_and_probing_goes_on() -> None:
    case = Case()
    case.redis.error = RuntimeError("of all things")
    await case.fail(3)
    with monitoring.testing.captured() as reports:
        await case.time.pass_interval()
    assert reports.point_ids == ["api.background_failed"]
    assert reports[0].tags["loop"] == "redis probe"
    assert case.breaker.is_open
    case.redis.up = True
    await case.time.pass_interval()
    assert not case.breaker.is_open
