"""Errors of redis-py's cluster client and of the event loop are translated to those of a store."""

import asyncio
import socket

import pytest
import uvloop
from redis.exceptions import ClusterDownError, MovedError, SlotNotCoveredError

from recommender_api.redis_store.cluster import _translate_errors
from recommender_api.redis_store.port import StoreError, StoreRefusedError, StoreUnavailableError


async def _raised(error: Exception) -> StoreError:
    with pytest.raises(StoreError) as caught:
        async with _translate_errors(1.0):
            raise error
    return caught.value


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "translated"),
    [
        (ClusterDownError("CLUSTERDOWN"), StoreUnavailableError),
        (MovedError("1 127.0.0.1:7000"), StoreRefusedError),
        (SlotNotCoveredError("slot 1"), StoreUnavailableError),
        (ConnectionResetError(), StoreUnavailableError),
        (TimeoutError(), StoreUnavailableError),
    ],
)
async def test_every_fault_of_the_cluster_is_a_fault_of_the_store(
    error: Exception, translated: type[StoreError]
) -> None:
    assert type(await _raised(error)) is translated


def test_a_write_to_a_connection_that_uvloop_has_lost_is_a_fault_of_the_store() -> None:
    async def write() -> StoreError:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
            transport.abort()
            await asyncio.sleep(0.01)
            with pytest.raises(StoreError) as caught:
                async with _translate_errors(1.0):
                    transport.writelines([b"PING"])
        return caught.value

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert type(runner.run(write())) is StoreUnavailableError


@pytest.mark.anyio
async def test_a_fault_of_our_own_code_is_not_a_fault_of_the_store() -> None:
    with pytest.raises(RuntimeError, match="no luck"):
        async with _translate_errors(1.0):
            raise RuntimeError("no luck")
