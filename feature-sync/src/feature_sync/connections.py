"""Redis as this worker uses it: waits are bounded, and its faults are reported once and told apart."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

import monitoring
from servicekit.redis_urls import connect, parse

CONNECT_SECONDS = 1.0
# A batch of 1,000 blobs takes 10 ms on a healthy Redis; a blocking read waits for BLOCK_SECONDS of it.
ANSWER_SECONDS = 5.0
BLOCK_SECONDS = 1.0

AnyRedis = Redis | RedisCluster
# redis-py keeps the error of a cluster that can't be reached apart from all others.
REDIS_ERRORS = (RedisError, RedisClusterException)
# Redis is not there; all others are its answers.
LOST_ERRORS = (RedisConnectionError, RedisTimeoutError, RedisClusterException)


def open_redis(url: str) -> AnyRedis:
    """Return a client; the worker's loops decide when to try again, so the client itself never does."""
    return connect(
        parse(url),
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


async def put_many(redis: AnyRedis, values: Mapping[str, bytes]) -> None:
    """Write values at once; a cluster takes those of each node."""
    if isinstance(redis, RedisCluster):
        await redis.mset_nonatomic(values)
    else:
        await redis.mset(values)


async def get_many(redis: AnyRedis, keys: Sequence[str]) -> list[bytes | None]:
    """Read values at once, None where there is none."""
    found: Any = await (redis.mget_nonatomic(keys) if isinstance(redis, RedisCluster) else redis.mget(keys))
    return list(found)


class RedisFaults:
    """Reports what goes wrong with one Redis, and that it is over."""

    def __init__(self, url: str) -> None:
        target = parse(url)
        host, port = target.nodes[0]
        self._where: dict[str, Any] = {"redis_host": host, "redis_port": port, "redis_db": target.db}
        # What an earlier process has reported, this one can't know: its first success ends that.
        self._broken = True

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Report a Redis error that leaves the block, and let it go on; a block that ends well ends the incident."""
        try:
            yield
        except REDIS_ERRORS as error:
            lost = isinstance(error, LOST_ERRORS)
            point = "redis.connection_failed" if lost else "redis.unexpected_error"
            monitoring.report(point, error=error, **self._where)
            self._broken = True
            raise
        if self._broken:
            self._broken = False
            monitoring.recovered("redis.connection_failed")
            monitoring.recovered("redis.unexpected_error")
