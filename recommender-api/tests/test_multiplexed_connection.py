"""The connection that all calls share."""

import asyncio

import pytest

from recommender_api.redis_store.multiplexed_connection import Endpoint, MultiplexedConnection
from recommender_api.redis_store.port import StoreUnavailableError

pytestmark = pytest.mark.anyio


async def test_closing_a_connection_that_is_being_opened_makes_its_calls_unavailable() -> None:
    asked = asyncio.Event()

    async def never() -> Endpoint:
        asked.set()
        await asyncio.sleep(30)
        raise AssertionError

    link = MultiplexedConnection(never, (), connect_timeout=30)
    calls = [asyncio.ensure_future(link.call([("PING",)], 30)) for _ in range(2)]
    await asked.wait()
    link.reset()
    for call in calls:
        with pytest.raises(StoreUnavailableError, match="was closed while it was opened"):
            await call


async def test_a_caller_that_gives_up_is_cancelled_and_the_others_are_not() -> None:
    found = asyncio.Event()

    async def find() -> Endpoint:
        await found.wait()
        raise ConnectionRefusedError

    link = MultiplexedConnection(find, (), connect_timeout=30)
    one, other = (asyncio.ensure_future(link.call([("PING",)], 30)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    found.set()
    with pytest.raises(StoreUnavailableError):
        await other
