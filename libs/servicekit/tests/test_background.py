"""A loop outlives what its steps run into, pauses longer each time, and says in `/health` that it fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import monitoring.testing
from servicekit.background import (
    HEALTHY_AFTER_SECONDS,
    MAX_BACKOFF_SECONDS,
    BackgroundLoops,
    cancel_all,
)

pytestmark = pytest.mark.anyio


class Case:
    """Loops in a time of their own: a pause takes no time, and is noted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.loops = BackgroundLoops(sleep=self._sleep, clock=lambda: self.now)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def run(self, step: Callable[[], Awaitable[object]], *, until: Callable[[], object]) -> None:
        self.loops.add("poll", step)
        async with asyncio.timeout(10), self.loops.running():
            while not until():  # noqa: ASYNC110 - the loop's own pauses take no time
                await asyncio.sleep(0)


async def test_a_step_that_fails_is_reported_and_the_loop_goes_on() -> None:
    case, steps = Case(), 0

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            raise ValueError("of all things")
        await asyncio.sleep(0)

    with monitoring.testing.captured() as reports:
        await case.run(step, until=lambda: steps > 3)
    (report,) = reports
    assert (report.point_id, report.fingerprint) == (
        "api.background_failed",
        ("api", "background", "poll", "ValueError"),
    )
    assert report.tags["loop"] == "poll"


async def test_pauses_double_up_to_a_bound_and_begin_anew_after_a_success() -> None:
    case, steps = Case(), 0

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 8:
            return
        raise OSError

    with monitoring.testing.captured():
        await case.run(step, until=lambda: steps > 9)
    assert case.pauses[:9] == [1, 2, 4, 8, 16, MAX_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS, 1, 2]


async def test_health_names_the_loop_that_fails_since_when_and_with_what() -> None:
    case, failing = Case(), True
    seen: list[Any] = []

    async def step() -> None:
        await asyncio.sleep(0)
        if failing:
            raise ConnectionResetError

    def third_failure() -> bool:
        nonlocal failing
        (state,) = case.loops.states()
        if failing and state.consecutive_failures == 3:
            seen.append((case.loops.check(), state.last_success, state.failing_since, state.last_error))
            failing = False
        return not failing and state.last_success is not None

    with monitoring.testing.captured():
        await case.run(step, until=third_failure)
    ((check, last_success, failing_since, last_error),) = seen
    assert check.status == "degraded"
    assert check.detail.startswith("poll has failed 3 times in")
    assert check.detail.endswith("(ConnectionResetError)")
    assert (last_success, failing_since, last_error) == (None, 0.0, "ConnectionResetError")
    assert case.loops.check().model_dump() == {"status": "healthy", "detail": "1 loops"}


async def test_a_step_that_waits_for_work_counts_as_healthy_after_a_minute() -> None:
    case, steps = Case(), 0

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            raise ValueError
        await asyncio.Event().wait()

    def waits() -> bool:
        if steps == 2:
            assert case.loops.check().status == "degraded"
            case.now += HEALTHY_AFTER_SECONDS
            assert case.loops.check().status == "healthy"
        return steps == 2

    with monitoring.testing.captured():
        await case.run(step, until=waits)


async def test_a_cancelled_future_inside_a_step_does_not_end_the_loop() -> None:
    case, steps = Case(), 0

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        await asyncio.sleep(0)

    with monitoring.testing.captured() as reports:
        await case.run(step, until=lambda: steps > 2)
    assert reports[0].fingerprint[-1] == "CancelledError"


async def test_a_step_that_swallows_its_cancel_is_ended_all_the_same() -> None:
    swallowed = 0

    async def step() -> None:
        nonlocal swallowed
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            swallowed += 1

    loops = BackgroundLoops()
    loops.add("deaf", step)
    async with asyncio.timeout(10):
        async with loops.running():
            await asyncio.sleep(0.01)
        assert swallowed == 1


async def test_tasks_are_cancelled_until_they_are_done() -> None:
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while swallowed < 3:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed += 1

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await cancel_all([task])
    assert task.done()


async def test_a_failing_loop_does_not_hold_up_another() -> None:
    case, others = Case(), 0

    async def fail() -> None:
        raise ValueError

    async def other() -> None:
        nonlocal others
        others += 1
        await asyncio.sleep(0)

    case.loops.add("other", other)
    with monitoring.testing.captured():
        await case.run(fail, until=lambda: others > 5)
    failing = [state.name for state in case.loops.states() if state.consecutive_failures]
    assert failing == ["poll"]
