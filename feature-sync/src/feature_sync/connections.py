"""Redis connections of this worker: waits are limited, and faults are classified and reported once."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

import monitoring
from servicekit.redis_urls import connect, parse

CONNECT_SECONDS = 1.0
# A batch of 1,000 blobs takes 10 ms on a healthy Redis; a blocking read waits for BLOCK_SECONDS of it.
ANSWER_SECONDS = 5.0
BLOCK_SECONDS = 1.0

AnyRedis = Redis | RedisCluster
# redis-py has a separate error for a cluster that can't be reached.
REDIS_ERRORS = (RedisError, RedisClusterException)
# Redis is unreachable; all others are answers of Redis.
LOST_ERRORS = (RedisConnectionError, RedisTimeoutError, RedisClusterException)


def open_redis(url: str) -> AnyRedis:
    """Return a client; the worker's loops decide about retries, so the client itself never retries."""
    return connect(
        parse(url),
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


async def put_many(redis: AnyRedis, values: Mapping[str, bytes]) -> None:
    """Write values at once; in a cluster in one batch per node."""
    if isinstance(redis, RedisCluster):
        await redis.mset_nonatomic(values)
    else:
        await redis.mset(values)


async def get_many(redis: AnyRedis, keys: Sequence[str]) -> list[bytes | None]:
    """Read values at once, None for missing ones."""
    found: Any = await (redis.mget_nonatomic(keys) if isinstance(redis, RedisCluster) else redis.mget(keys))
    return list(found)


async def unlink_many(redis: AnyRedis, keys: Sequence[bytes | str]) -> None:
    """Delete keys at once; in a cluster in one batch per node."""
    if isinstance(redis, RedisCluster):
        pipeline = redis.pipeline()
        for key in keys:
            pipeline.execute_command("UNLINK", key)
        await pipeline.execute()
    elif keys:
        await redis.unlink(*keys)


class Script:
    """A Lua script, sent once to each server and then called by its hash: Redis would hash its text in each call."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: AnyRedis, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Return what the script returns."""
        try:
            return await redis.evalsha(self._sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await redis.eval(self._text, len(keys), *keys, *arguments)


def unless_lost(step: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    """Return a loop's step that ends early while Redis is unreachable: the consumers report its outage."""

    async def run() -> None:
        with suppress(*LOST_ERRORS):
            await step()

    return run


class RedisFaults:
    """Reports the faults of one Redis, and their end; not those that a stall of this process explains."""

    def __init__(self, url: str, recent_stall: Callable[[], float | None] = lambda: None) -> None:
        target = parse(url)
        host, port = target.nodes[0]
        self._where: dict[str, Any] = {"redis_host": host, "redis_port": port, "redis_db": target.db}
        self._recent_stall = recent_stall
        # The stall that explains the failures since the last success.
        self._excuse: float | None = None
        # The first success of this process ends the incidents that an earlier one reported.
        self._broken = True

    @contextmanager
    def report_faults(self) -> Iterator[None]:
        """Report a Redis error that leaves the block, and raise it again; a block that succeeds ends the incident."""
        try:
            yield
        except REDIS_ERRORS as error:
            lost = isinstance(error, LOST_ERRORS)
            stall = self._recent_stall() if lost else None
            if stall is not None and self._excuse in (None, stall):
                # An outage that lasts is reported by a later call, also by one that follows another stall.
                self._excuse = stall
                raise
            point = "redis.connection_failed" if lost else "redis.unexpected_error"
            monitoring.report(point, error=error, **self._where)
            self._broken = True
            raise
        self._excuse = None
        if self._broken:
            self._broken = False
            monitoring.recovered("redis.connection_failed")
            monitoring.recovered("redis.unexpected_error")
