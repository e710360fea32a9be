"""Redis clients of others in the place of the service's own connection; each has its `call`, `reset` and `close`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import coredis  # type: ignore[import-not-found]  # of the ablation's own environment
import glide  # type: ignore[import-not-found]
from redis.asyncio import BlockingConnectionPool, Redis

from recommender_api.redis_store.multiplexed_connection import Command, Endpoint

_CONNECTIONS = 32


class _Client:
    """What all of them share: the server is found at the first call, and a call ends within its budget (s)."""

    def __init__(
        self, find: Callable[[], Awaitable[Endpoint]], _greeting: Sequence[Command], *, connect_timeout: float
    ) -> None:
        self._find = find
        self._connect_timeout = connect_timeout
        self._client: Any = None

    async def call(self, commands: Sequence[Command], budget: float) -> list[Any]:
        """Return the answers to commands."""
        async with asyncio.timeout(budget):
            if self._client is None:
                self._client = await self.connect(await self._find())
            return [await self.one(self._client, command) for command in commands]

    def reset(self) -> None:
        """Forget the connections."""

    async def close(self) -> None:
        """Forget the connections."""

    async def connect(self, endpoint: Endpoint) -> Any:
        """Return the client."""
        raise NotImplementedError

    async def one(self, client: Any, command: Command) -> Any:
        """Return the answer to a command."""
        raise NotImplementedError


class RedisPy(_Client):
    """redis-py with hiredis: a pool of connections."""

    async def connect(self, endpoint: Endpoint) -> Any:
        """See `_Client`."""
        pool = BlockingConnectionPool(host=endpoint.host, port=endpoint.port, max_connections=_CONNECTIONS)
        return Redis(connection_pool=pool)

    async def one(self, client: Any, command: Command) -> Any:
        """See `_Client`."""
        return await client.execute_command(*command)


class Coredis(_Client):
    """coredis: a pool of connections that pipelines what several callers send."""

    async def connect(self, endpoint: Endpoint) -> Any:
        """See `_Client`."""
        client = coredis.Redis(host=endpoint.host, port=endpoint.port, max_connections=_CONNECTIONS)
        await client.__aenter__()
        return client

    async def one(self, client: Any, command: Command) -> Any:
        """See `_Client`."""
        name, *arguments = command
        if name == "MGET":
            return await client.mget(arguments)
        if name == "EVAL":
            script, count, *rest = arguments
            return await client.eval(script, rest[:count], rest[count:])
        if name == "ZRANGE":
            key, start, stop, *_ = arguments
            found = await client.zrange(key, start, stop, rev=True, withscores=True)
            return [part for pair in found for part in pair]
        return await getattr(client, name.lower())(*arguments)


class ValkeyGlide(_Client):
    """valkey-glide: one connection that a core in Rust shares among all callers."""

    async def connect(self, endpoint: Endpoint) -> Any:
        """See `_Client`."""
        address = glide.NodeAddress(endpoint.host, endpoint.port)
        return await glide.GlideClient.create(glide.GlideClientConfiguration([address], request_timeout=5000))

    async def one(self, client: Any, command: Command) -> Any:
        """See `_Client`."""
        return await client.custom_command(
            [part if isinstance(part, bytes) else str(part).encode() for part in command]
        )
