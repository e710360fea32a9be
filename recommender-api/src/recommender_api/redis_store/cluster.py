"""A Redis Cluster behind `Store`: each call asks the nodes that hold its keys, in parallel."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, RedisClusterException, RedisError, ResponseError

from recommender_api.redis_store.commands import (
    SERVED_FULL,
    WRITE_BUDGET_SECONDS,
    Address,
    check_full,
    event_calls,
    exposure_calls,
    parse_counts,
    served_call,
)
from recommender_api.redis_store.deadline import timeout_error
from recommender_api.redis_store.port import (
    NewEvent,
    NewServed,
    Put,
    StoreRefusedError,
    StoreUnavailableError,
)
from servicekit.redis_urls import RedisTarget, connect

# Discovering the nodes again also asks the dead ones.
PROBE_SECONDS = 2.0


class ClusterStore:
    """`Store` on a cluster; redis-py follows slots that move. A read ends within `budget` (s); calls are not retried.

    If one node is down, the whole cluster counts as down once the breaker opens; `probe` finds the new owner of its
    slots.
    """

    def __init__(self, target: RedisTarget, *, budget: float, stream_max_bytes: int) -> None:
        self.address = Address(*target.nodes[0], target.db)
        self._budget = budget
        self._stream_max_bytes = stream_max_bytes
        self._client = cast(
            "RedisCluster",
            connect(
                target,
                socket_timeout=WRITE_BUDGET_SECONDS,
                socket_connect_timeout=max(budget, 0.05),
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            ),
        )

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `Store`."""
        async with _translate_errors(self._budget):
            found: list[bytes | None] = await self._client.mget_nonatomic(list(keys))
            return found

    async def read_head(self, key: str, size: int) -> bytes:
        """See `Store`."""
        async with _translate_errors(self._budget):
            head: Any = await self._client.getrange(key, 0, size - 1)
            return bytes(head)

    async def top(self, key: str, count: int, start: int = 0) -> list[tuple[int, float]]:
        """See `Store`."""
        async with _translate_errors(self._budget):
            found: list[tuple[bytes, float]]
            found = await self._client.zrange(  # type: ignore[assignment]  # with scores these are pairs
                key, start, start + count - 1, desc=True, withscores=True
            )
            return parse_counts(found)

    async def write(self, puts: Sequence[Put], exposures: Sequence[bytes]) -> None:
        """See `Store`."""
        async with _translate_errors(WRITE_BUDGET_SECONDS):
            pipeline = self._client.pipeline()
            for value, lives in puts:
                for key, seconds in lives.items():
                    pipeline.set(key, value, ex=seconds)
            for call in exposure_calls(exposures, self._stream_max_bytes):
                pipeline.execute_command("EVAL", *call)
            check_full(await pipeline.execute())

    async def add_events(self, events: Sequence[NewEvent]) -> int:
        """See `Store`."""
        async with _translate_errors(WRITE_BUDGET_SECONDS):
            first, *others = event_calls(events, time.time(), self._stream_max_bytes)
            added: list[Any] = [await self._client.execute_command("EVAL", *first)]
            check_full(added)
            pipeline = self._client.pipeline()
            for call in others:
                pipeline.execute_command("EVAL", *call)
            return sum(int(each) for each in [*added, *(await pipeline.execute() if others else ())])

    async def add_served(self, entries: Sequence[NewServed]) -> int:
        """See `Store`."""
        async with _translate_errors(WRITE_BUDGET_SECONDS):
            added: Any = await self._client.execute_command("EVAL", *served_call(entries))
            check_full([added], SERVED_FULL)
            return int(added)

    async def probe(self) -> None:
        """Discover the nodes again, and check that every master answers."""
        async with _translate_errors(PROBE_SECONDS):
            await self._client.aclose()
            await self._client.initialize()
            await self._client.ping(target_nodes=RedisCluster.PRIMARIES)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


@asynccontextmanager
async def _translate_errors(budget: float) -> AsyncIterator[None]:
    """Limit the duration of a call, and translate its errors to those of `Store`."""
    try:
        async with asyncio.timeout(budget):
            yield
    except TimeoutError as error:
        raise timeout_error(budget) from error
    except ResponseError as error:
        translated = StoreUnavailableError if isinstance(error, ClusterDownError) else StoreRefusedError
        raise translated(str(error), type(error).__name__) from error
    except (RedisError, RedisClusterException, OSError) as error:
        raise StoreUnavailableError(str(error), type(error).__name__) from error
    except RuntimeError as error:
        # The error of uvloop if redis-py writes to a connection that has just been lost.
        if not str(error).endswith("the handler is closed"):
            raise
        raise StoreUnavailableError(str(error), "ConnectionError") from error
