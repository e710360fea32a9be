"""Finds the Redis master by asking the sentinels."""

import asyncio

from recommender_api.redis_store.multiplexed_connection import Endpoint, MultiplexedConnection, static_address
from recommender_api.redis_store.port import StoreError, StoreUnavailableError
from servicekit.redis_urls import RedisTarget


class Sentinels:
    """Asks all sentinels in parallel, so that a hanging one costs nothing, and uses the first address that it gets.

    A sentinel that is wrong for a moment does no harm: its server doesn't answer or rejects writes, and the search
    starts again.
    """

    def __init__(self, target: RedisTarget, *, timeout: float) -> None:
        self._service = target.service
        self._ssl = target.ssl_context()
        self._timeout = timeout
        credentials = target.sentinel_credentials
        greeting = [("AUTH", *credentials.values())] if credentials else []
        self._links = [
            MultiplexedConnection(static_address(Endpoint(host, port, self._ssl)), greeting, connect_timeout=timeout)
            for host, port in target.nodes
        ]

    async def master(self) -> Endpoint:
        """Return the address of the master; raises `StoreUnavailableError`."""
        command = [("SENTINEL", "get-master-addr-by-name", self._service)]
        asking = [asyncio.ensure_future(link.call(command, self._timeout)) for link in self._links]
        try:
            for answered in asyncio.as_completed(asking):
                try:
                    (address,) = await answered
                except StoreError:
                    continue
                if address is not None:
                    return Endpoint(address[0].decode(), int(address[1]), self._ssl)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            for link in self._links:
                link.reset()
        raise StoreUnavailableError(f"no sentinel knows the master of {self._service}", "MasterNotFoundError")
