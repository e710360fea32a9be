"""Redis as this worker uses it: waits are bounded, and its faults are reported once and told apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

import monitoring

CONNECT_SECONDS = 1.0
# A batch of 1,000 blobs takes 10 ms on a healthy Redis; a blocking read waits for BLOCK_SECONDS of it.
ANSWER_SECONDS = 5.0
BLOCK_SECONDS = 1.0


def open_redis(url: str) -> Redis:
    """Return a client; the worker's loops decide when to try again, so the client itself never does."""
    return Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


class RedisFaults:
    """Reports what goes wrong with one Redis, and that it is over."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._where: dict[str, Any] = {
            "redis_host": parts.hostname or "localhost",
            "redis_port": parts.port or 6379,
            "redis_db": parts.path.lstrip("/") or "0",
        }
        self._broken = False

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Report a Redis error that leaves the block, and let it go on; a block that ends well ends the incident."""
        try:
            yield
        except RedisError as error:
            lost = isinstance(error, RedisConnectionError | RedisTimeoutError)
            point = "redis.connection_failed" if lost else "redis.unexpected_error"
            monitoring.report(point, error=error, **self._where)
            self._broken = True
            raise
        if self._broken:
            self._broken = False
            monitoring.recovered("redis.connection_failed")
            monitoring.recovered("redis.unexpected_error")
