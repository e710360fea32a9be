"""Work in a low-priority thread returns and raises, and the event loop's thread keeps its priority."""

import asyncio
import contextvars
import os
import threading
import time

import pytest

from recommender_api.models.low_priority_thread import NICENESS, LowPriorityThread

pytestmark = pytest.mark.anyio


async def test_it_returns_what_the_function_does_and_raises_what_it_raises() -> None:
    assert await LowPriorityThread().run(os.path.join, "a", "b") == "a/b"
    with pytest.raises(FileNotFoundError, match="nowhere"):
        await LowPriorityThread().run(os.listdir, "/nowhere")


async def test_only_this_thread_has_low_priority() -> None:
    # Linux: the priority of the calling thread.
    own = os.getpriority(os.PRIO_PROCESS, 0)
    behind = LowPriorityThread()
    assert [await behind.run(os.getpriority, os.PRIO_PROCESS, 0) for _ in range(2)] == [min(own + NICENESS, 19)] * 2
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    assert await asyncio.to_thread(os.getpriority, os.PRIO_PROCESS, 0) == own


async def test_it_runs_in_the_callers_context() -> None:
    request = contextvars.ContextVar[str]("request")
    request.set("deployment 7")
    assert await LowPriorityThread().run(request.get) == "deployment 7"


async def test_a_cancelled_caller_does_not_wait() -> None:
    behind, go_on, began = LowPriorityThread(), threading.Event(), time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await behind.run(go_on.wait, 20)
        assert time.monotonic() - began < 10
    finally:
        go_on.set()
    assert await behind.run(os.path.join, "a", "b") == "a/b"
