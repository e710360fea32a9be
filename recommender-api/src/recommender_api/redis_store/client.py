"""The real Redis behind `Store`, by redis-py."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from contracts import redis_keys
from recommender_api.redis_store.port import (
    SEEN_EVENT_SECONDS,
    NewEvent,
    Put,
    StoreRefusedError,
    StoreUnavailableError,
)

T = TypeVar("T")

MAX_CONNECTIONS = 512

# Nobody's answer waits for a write, and a thousand events take Redis a few milliseconds.
WRITE_BUDGET_SECONDS = 0.25

# The mark comes after the event: an error in between counts an event twice (the log's primary key sees to that),
# the other order would lose it.
_ADD_EVENTS = """
local added = 0
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('XADD', KEYS[1], '*', 'event', ARGV[i])
    redis.call('SET', KEYS[i], '1', 'EX', ARGV[1])
    added = added + 1
  end
end
return added
"""

# One command for many entries: packing an XADD each costs the client ten times as much.
_ADD_EXPOSURES = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'event', ARGV[i]) end"


class Address(NamedTuple):
    """Where a Redis is, without its credentials."""

    host: str
    port: int
    db: int

    @classmethod
    def of(cls, url: str) -> Self:
        """Read the address from a redis:// or rediss:// URL."""
        parts = urlsplit(url)
        db = parts.path.strip("/")
        return cls(parts.hostname or "localhost", parts.port or 6379, int(db) if db.isdigit() else 0)


class RedisStore:
    """`Store` on one Redis. A read ends within `budget` (s), connecting included; nothing is tried twice."""

    def __init__(self, url: str, *, budget: float) -> None:
        self.address = Address.of(url)
        self._budget = budget
        self._redis: Redis = Redis.from_url(
            url,
            # A new connection, TLS included, may take longer than a command; the call's own budget rules anyway.
            socket_connect_timeout=max(budget, 0.05),
            socket_timeout=max(budget, WRITE_BUDGET_SECONDS),
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # spares redis-py the conversion of RESP3 replies
            max_connections=MAX_CONNECTIONS,
        )

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `Store`."""
        values: list[bytes | None] = await self._within(self._budget, self._redis.mget(keys))
        return values

    async def top(self, key: str, count: int) -> list[tuple[int, float]]:
        """See `Store`."""
        found = await self._within(self._budget, self._redis.zrange(key, 0, count - 1, desc=True, withscores=True))
        return [(int(member), float(score)) for member, score in found]

    async def write(self, puts: Sequence[Put], exposures: Sequence[bytes]) -> None:
        """See `Store`."""
        pipeline = self._redis.pipeline(transaction=False)
        for put in puts:
            pipeline.set(put.key, put.value, ex=put.ttl)
        if exposures:
            pipeline.eval(_ADD_EXPOSURES, 1, redis_keys.EVENT_STREAM, *exposures)
        await self._within(WRITE_BUDGET_SECONDS, pipeline.execute())

    async def add_events(self, events: Sequence[NewEvent]) -> int:
        """See `Store`."""
        keys = [redis_keys.EVENT_STREAM, *(redis_keys.seen_event(event.event_id) for event in events)]
        arguments = [SEEN_EVENT_SECONDS, *(event.body for event in events)]
        added = await self._within(
            WRITE_BUDGET_SECONDS,
            self._redis.eval(_ADD_EVENTS, len(keys), *keys, *arguments),  # type: ignore[arg-type]
        )
        return int(added)

    async def probe(self) -> None:
        """Ask whether Redis is there, on a new connection: those from before an outage are let go."""
        await self._redis.connection_pool.disconnect(inuse_connections=False)
        await self._within(self._budget, self._redis.ping())

    async def close(self) -> None:
        """Let go of all connections."""
        await self._redis.aclose()

    async def _within(self, budget: float, operation: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(budget):
                return await operation
        except TimeoutError as error:
            raise StoreUnavailableError(f"no answer within {budget * 1000:.0f} ms", "TimeoutError") from error
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            raise StoreUnavailableError(str(error), type(error).__name__) from error
        except redis.RedisError as error:
            raise StoreRefusedError(str(error), type(error).__name__) from error
