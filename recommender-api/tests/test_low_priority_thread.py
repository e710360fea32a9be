"""Work in a thread of low priority: it returns and raises, and takes no weight from the event loop's thread."""

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


async def test_it_alone_gives_way() -> None:
    # Linux: of the thread that asks.
    own = os.getpriority(os.PRIO_PROCESS, 0)
    behind = LowPriorityThread()
    assert [await behind.run(os.getpriority, os.PRIO_PROCESS, 0) for _ in range(2)] == [min(own + NICENESS, 19)] * 2
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    assert await asyncio.to_thread(os.getpriority, os.PRIO_PROCESS, 0) == own


async def test_it_belongs_to_what_is_going_on() -> None:
    request = contextvars.ContextVar[str]("request")
    request.set("deployment 7")
    assert await LowPriorityThread().run(request.get) == "deployment 7"


async def test_who_no_longer_wants_it_does_not_wait() -> None:
    behind, go_on, began = LowPriorityThread(), threading.Event(), time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await behind.run(go_on.wait, 20)
        assert time.monotonic() - began < 10
    finally:
        go_on.set()
    assert await behind.run(os.path.join, "a", "b") == "a/b"
