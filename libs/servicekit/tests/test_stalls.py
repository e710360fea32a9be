"""A process that was itself stopped blames nobody for what was late meanwhile."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

import monitoring.testing
from servicekit.background import SupervisedLoop
from servicekit.stalls import STALL_SECONDS, TICK_SECONDS, StallWatch, finishes_within

pytestmark = pytest.mark.anyio

_FROZEN = """
import asyncio, sys, time
from servicekit.stalls import finishes_within

async def main():
    loop = asyncio.get_running_loop()
    answered = loop.create_future()
    print("waiting", flush=True)
    # As an answer that arrives while the process is stopped: it is read after the timers.
    loop.add_reader(sys.stdin, lambda: (sys.stdin.readline(), loop.call_later(0.01, answered.set_result, None)))
    print(await finishes_within(0.6, answered), flush=True)

asyncio.run(main())
"""


def test_a_wait_of_a_process_that_is_stopped_with_sigstop_goes_on_afterwards() -> None:
    with subprocess.Popen(
        (sys.executable, "-c", _FROZEN), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "waiting\n"
        os.kill(process.pid, signal.SIGSTOP)
        # Longer than the deadline.
        time.sleep(1.5)
        process.stdin.write("answer\n")
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline() == "True\n"


async def test_a_wait_ends_after_its_time() -> None:
    never = asyncio.get_running_loop().create_future()
    assert not await finishes_within(0.05, never)


async def test_a_busy_loop_does_not_stretch_a_deadline() -> None:
    loop = asyncio.get_running_loop()
    never, began = loop.create_future(), loop.time()

    async def keep_busy() -> None:
        while True:
            time.sleep(0.8)  # noqa: ASYNC251 - the loop is held up
            await asyncio.sleep(0)

    busy = asyncio.create_task(keep_busy())
    assert not await finishes_within(2.0, never)
    # One part that was late doesn't count. If none of them did, it would be 16 s.
    assert loop.time() - began < 10
    busy.cancel()


def test_a_late_tick_is_a_stall_for_a_moment() -> None:
    now = 100.0
    watch = StallWatch(lambda: now)
    assert watch.recent() is None
    now += TICK_SECONDS
    assert watch.recent() is None
    now += TICK_SECONDS + STALL_SECONDS + 0.1
    assert (ended := watch.recent()) is not None
    now += 0.5
    assert watch.recent() == ended
    now += 0.6
    assert watch.recent() is None


@pytest.mark.parametrize("stalled", [True, False])
async def test_of_failures_after_stalls_only_the_first_is_not_reported(stalled: bool) -> None:
    tries = 0

    async def step() -> None:
        raise TimeoutError

    async def stop(_seconds: float) -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise asyncio.CancelledError

    with monitoring.testing.captured() as reports:
        loop = SupervisedLoop("late", step, sleep=stop, recent_stall=lambda: 1.0 if stalled else None)
        with pytest.raises(asyncio.CancelledError):
            await loop.run()
    assert reports.point_ids == ["api.background_failed"] * (1 if stalled else 2)
    assert loop.is_failing
