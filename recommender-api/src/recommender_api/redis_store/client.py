"""The real Redis behind `Store`: one server, or the master that sentinels report."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from recommender_api.redis_store.commands import (
    PUT,
    SERVED_FULL,
    WRITE_BUDGET_SECONDS,
    Address,
    check_full,
    event_calls,
    exposure_calls,
    parse_counts,
    served_call,
)
from recommender_api.redis_store.multiplexed_connection import Command, Endpoint, MultiplexedConnection, static_address
from recommender_api.redis_store.port import NewEvent, NewServed, Put, StoreRefusedError
from recommender_api.redis_store.sentinels import Sentinels
from servicekit.redis_urls import RedisTarget


class RedisStore:
    """`Store` on one Redis. A read ends within `budget` (s), including a new connection; calls are not retried."""

    def __init__(self, target: RedisTarget, *, budget: float, stream_max_bytes: int) -> None:
        self.address = Address(*target.nodes[0], target.db)
        self._budget = budget
        self._stream_max_bytes = stream_max_bytes
        self._moves = target.kind == "sentinel"
        greeting = _greeting(target)
        # A new connection, with TLS, may take longer than a command; the budget of the call limits it anyway.
        timeout = max(budget, 0.05)
        find: Callable[[], Awaitable[Endpoint]]
        if self._moves:
            find = Sentinels(target, timeout=timeout).master
        else:
            find = static_address(Endpoint(*target.nodes[0], target.ssl_context()))
        self._reads = MultiplexedConnection(find, greeting, connect_timeout=timeout)
        # A connection of their own, so that no read waits for a thousand events.
        self._writes = MultiplexedConnection(find, greeting, connect_timeout=timeout)

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `Store`."""
        (values,) = await self._reads.call([("MGET", *keys)], self._budget)
        found: list[bytes | None] = values
        return found

    async def read_head(self, key: str, size: int) -> bytes:
        """See `Store`."""
        (head,) = await self._reads.call([("GETRANGE", key, 0, size - 1)], self._budget)
        return bytes(head)

    async def top(self, key: str, count: int, start: int = 0) -> list[tuple[int, float]]:
        """See `Store`."""
        command = ("ZRANGE", key, start, start + count - 1, "REV", "WITHSCORES")
        (found,) = await self._reads.call([command], self._budget)
        return parse_counts(zip(found[::2], found[1::2], strict=True))

    async def write(self, puts: Sequence[Put], exposures: Sequence[bytes]) -> None:
        """See `Store`."""
        commands: list[Command] = []
        if puts:
            keys: list[str] = []
            arguments: list[bytes | int] = []
            for value, lives in puts:
                keys += lives
                arguments += (value, len(lives), *lives.values())
            commands.append(("EVAL", PUT, len(keys), *keys, *arguments))
        if exposures:
            commands += [("EVAL", *call) for call in exposure_calls(exposures, self._stream_max_bytes)]
        check_full(await self._write(commands))

    async def add_events(self, events: Sequence[NewEvent]) -> int:
        """See `Store`."""
        first, *others = [("EVAL", *call) for call in event_calls(events, time.time(), self._stream_max_bytes)]
        added = await self._write([first])
        check_full(added)
        if others:
            added += await self._write(others)
        return sum(int(each) for each in added)

    async def add_served(self, entries: Sequence[NewServed]) -> int:
        """See `Store`."""
        added = await self._write([("EVAL", *served_call(entries))])
        check_full(added, SERVED_FULL)
        return int(added[0])

    async def probe(self) -> None:
        """Check Redis on a new connection; connections from before an outage are closed."""
        self._writes.reset()
        self._reads.reset()
        await self._reads.call([("PING",)], self._budget)

    async def close(self) -> None:
        """Close all connections."""
        await self._reads.close()
        await self._writes.close()

    async def _write(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self._writes.call(commands, WRITE_BUDGET_SECONDS)
        except StoreRefusedError as error:
            if self._moves and error.error_type == "ReadOnlyError":
                # The master has changed or will change.
                self._writes.reset()
                self._reads.reset()
            raise


def _greeting(target: RedisTarget) -> list[Command]:
    """Return the first commands of a new connection."""
    commands: list[Command] = []
    if target.credentials:
        commands.append(("AUTH", *target.credentials.values()))
    if target.db:
        commands.append(("SELECT", target.db))
    return commands
